"""The engine contract. `http` and `inference` know this file and no engine; `server` injects one."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from app.errors import OutOfCapacity
from app.types import Delta, Prompt, Sampling, StoredAdapter


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """`reason` says in one line why an engine failed, fit to be shown to the operator (never to a client)."""

    state: Literal["starting", "ready", "failed", "stopped"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LeasedAdapter:
    """A resident adapter: valid while the lease that gave it is held. `int_id` is never reused in an engine's life."""

    stored: StoredAdapter
    int_id: int


def not_ready() -> OutOfCapacity:
    """What an engine raises that has not started or has stopped."""
    return OutOfCapacity("The engine is not ready.")


class Deltas(Protocol):
    """Iterate it once; close it however it ends: that aborts a request that is not finished."""

    def __aiter__(self) -> AsyncIterator[Delta]: ...
    def __anext__(self) -> Awaitable[Delta]: ...
    def aclose(self) -> Awaitable[None]: ...


class Engine(Protocol):
    """Turns prompts into deltas. Raises only leaves of `app.errors`.

    `compiles_grammars` says that it keeps answers to `Sampling.grammar`, with xgrammar: each is tried out before.
    `has` names the fields of `Sampling` that it serves, of those that not every engine has.
    """

    compiles_grammars: bool
    has: frozenset[str]

    async def start(self) -> None:
        """Return when requests can be served. Raises `app.errors.StartupError` with what to change."""

    async def stop(self, drain_s: float) -> None:
        """Wait up to `drain_s` seconds for running requests, abort the rest, end every child process."""

    def health(self) -> EngineHealth: ...

    def lease(self, adapter: StoredAdapter) -> AbstractAsyncContextManager[LeasedAdapter]:
        """Make the adapter resident and keep it so while the lease is held; waits when every slot is leased."""

    async def forget(self, adapter: StoredAdapter) -> None:
        """Drop the adapter from memory as soon as no lease holds it."""

    def generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        request_id: str,
        adapter: LeasedAdapter | None,
        cache_salt: str,
    ) -> Deltas:
        """Deltas until one carries a finish reason. The engine begins when the first is asked for.

        `cache_salt` (never empty) keeps accounts apart in the prefix cache.
        """
