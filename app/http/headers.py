"""A request's headers as they came: what every request is asked takes a scan of the list, not a mapping of it."""

from starlette.types import Scope


def values(scope: Scope, name: bytes) -> list[str]:
    """All values of a header; `name` is in lower case."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def value(scope: Scope, name: bytes) -> str | None:
    """The first value, None without one."""
    found = values(scope, name)
    return found[0] if found else None
