"""What conversations bring along that no model here can read, and that changes nothing when it is left out.

Thoughts, and what other servers' own tools did: the assistant's text beside them says what came of it. What a user
shows (a picture, a document) is never left out. `test_history.py` finds an item of the installed packages in no list.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from app.http.dialects.readers import function_call, joined

THOUGHTS: Final = frozenset({"thinking", "redacted_thinking", "reasoning"})
DROPPED_ITEMS: Final = frozenset(
    {
        *("reasoning", "compaction_trigger", "program", "program_output"),
        *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"),
        *("computer_call", "computer_call_output", "tool_search_call", "tool_search_output"),
        *("local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output"),
        *("apply_patch_call", "apply_patch_call_output"),
        *("mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "mcp_call"),
    }
)
"""Of a response's input."""
REFUSED_ITEMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "item_reference": "send the item itself: nothing is stored here",
        "compaction": "send the turns themselves: only who wrote it can read it",
        "additional_tools": "send tools",
        "configuration_update": "send the settings beside the input",
    }
)
DROPPED_BLOCKS: Final = frozenset(
    {
        *THOUGHTS,
        *("server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "tool_search_tool_result"),
        *("code_execution_tool_result", "bash_code_execution_tool_result"),
        *("text_editor_code_execution_tool_result", "mcp_tool_use", "mcp_tool_result", "container_upload"),
    }
)
"""Of a message's content."""


def is_dropped(item: Mapping[str, Any], dropped: Collection[str]) -> bool:
    kind = item.get("type")
    return isinstance(kind, str) and kind in dropped


def custom_call(item: dict[str, Any]) -> dict[str, Any]:
    """A call of a tool that takes any text, as one of a function with that text."""
    return function_call(item.get("call_id"), item.get("name"), {"input": item.get("input")})


def calls_of(calls: Any) -> Any:
    """A chat's `tool_calls`, custom ones as functions; what is no such list stays for the card's schema to judge."""
    if not isinstance(calls, list):
        return calls
    return [
        custom_call({**call["custom"], "call_id": call.get("id")})
        if isinstance(call, dict) and call.get("type") == "custom" and isinstance(call.get("custom"), dict)
        else call
        for call in calls
    ]


def older_call(message: dict[str, Any]) -> list[dict[str, Any]] | None:
    """`function_call`, from before there were tools."""
    call = message.get("function_call")
    if not isinstance(call, dict):
        return None
    return [function_call(call.get("name"), call.get("name"), call.get("arguments"))]


def spoken(path: tuple[str, ...], message: dict[str, Any], parts: tuple[str, ...]) -> Any:
    """The text of a chat's turn: a refusal is what was said."""
    content = joined(path, message.get("content"), (*parts, "refusal"), THOUGHTS)
    refusal = message.get("refusal")
    return refusal if not content and isinstance(refusal, str) else content
