"""What a token may be allowed to do."""

from collections.abc import Iterable

from app.errors import OperatorError, printable

READ = "ai:read"
WRITE = "ai:write"
SCOPES = (READ, WRITE)


def checked_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes as asked for. Raises `OperatorError` for an unknown one and for none at all."""
    asked = frozenset(scopes)
    unknown = sorted(asked.difference(SCOPES))
    if unknown:
        raise OperatorError(f"scope {printable(unknown[0])!r}: unknown; use {READ} or {WRITE}")
    if not asked:
        raise OperatorError(f"scope: none given; use {READ} or {WRITE}")
    return asked


def effective_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """What a token may do: `ai:write` implies `ai:read`."""
    given = frozenset(scopes)
    return given | {READ} if WRITE in given else given
