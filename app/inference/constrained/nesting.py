"""How deep a JSON value nests, without recursion."""

from typing import Any


def nests_deeper_than(value: Any, levels: int) -> bool:
    """Whether objects and lists nest more than `levels` deep; a number or a text nests 0 deep."""
    below = [value]
    for _ in range(levels + 1):
        below = [member for outer in below for member in _members(outer)]
        if not below:
            return False
    return True


def _members(value: Any) -> list[Any]:
    """What is inside an object or a list, and something for an empty one too: it is a level."""
    if isinstance(value, dict):
        return [*value.values(), None]
    return [*value, None] if isinstance(value, list) else []
