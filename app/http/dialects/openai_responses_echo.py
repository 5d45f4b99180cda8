"""What an OpenAI response says again of its request."""

from typing import Any

from app.inference.sampling import DEFAULT_TEMPERATURE

TEXTS = ("instructions", "user", "safety_identifier", "prompt_cache_key")


def echo_of(given: dict[str, Any]) -> dict[str, Any]:
    """Every field is there; what the client left out has the value that counts. `given` was understood before."""
    return {
        "model": given["model"],
        **{name: _of_type(given.get(name), str) for name in TEXTS},
        "metadata": _of_type(given.get("metadata"), dict) or {},
        "temperature": _or(given.get("temperature"), DEFAULT_TEMPERATURE),
        "top_p": _or(given.get("top_p"), 1.0),
        "top_logprobs": given.get("top_logprobs") or 0,
        "max_output_tokens": given.get("max_output_tokens"),
        "parallel_tool_calls": given.get("parallel_tool_calls") is not False,
        "reasoning": {"effort": None, "summary": None},
        "text": {"format": _format(given), "verbosity": "medium"},
        "tool_choice": given.get("tool_choice") or "auto",
        "tools": [_tool(tool) for tool in given.get("tools") or []],
    }


def _of_type(value: Any, kind: type) -> Any:
    """Nobody looked at a field that changes nothing."""
    return value if isinstance(value, kind) else None


def _or(value: Any, default: float) -> Any:
    return default if value is None else value


def _format(given: dict[str, Any]) -> dict[str, Any]:
    wanted = (given.get("text") or {}).get("format") or {}
    kind = wanted.get("type") or "text"
    if kind != "json_schema":
        return {"type": kind}
    return {
        "type": kind,
        "name": wanted.get("name") or "answer",
        "description": wanted.get("description"),
        "schema": wanted.get("schema"),
        "strict": wanted.get("strict"),
    }


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": tool.get("type"),
        "name": tool.get("name"),
        "description": tool.get("description"),
        "parameters": tool.get("parameters"),
        "strict": tool.get("strict"),
    }
