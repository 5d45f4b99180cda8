"""How a refusal reads: which file or tensor, what is wrong with the number, what to change."""

from app.errors import AdapterRefused, printable

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"


def finding(where: str, problem: str, change: str) -> str:
    """One line. `where` may come from the adapter; `problem` and `change` are ours or made printable by the
    caller."""
    return f"{printable(where)}: {problem}; {change}"


def refusal(findings: list[str] | tuple[str, ...]) -> AdapterRefused:
    """The error for a list of at least one finding: the first one, and how many follow."""
    more = len(findings) - 1
    return AdapterRefused(findings[0] + (f" (and {more} more)" if more else ""))
