"""How a refusal reads: which file or tensor, what is wrong with the number, what to change."""

from app.errors import printable


def finding(where: str, problem: str, change: str) -> str:
    """One line. `where` may come from the adapter; `problem` and `change` are ours or made printable by the
    caller."""
    return f"{printable(where)}: {problem}; {change}"
