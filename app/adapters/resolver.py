"""Which adapter a request's `lora` means."""

import logging

from app.adapters.finetune import Draft
from app.adapters.store import AdapterStore
from app.concurrency import Clock, TtlCache
from app.errors import FinetuneNotFound, LoraIncompatible
from app.names import can_name_adapter
from app.types import StoredAdapter

RESOLVER_TTL_S = 0.5
RESOLVER_MAX_ENTRIES = 10_000

log = logging.getLogger(__name__)


class Resolver:
    """Answers from memory for `ttl_s` seconds, so an adapter removed by another process is gone within 1 s.

    `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        store: AdapterStore,
        clock: Clock,
        ttl_s: float = RESOLVER_TTL_S,
        max_entries: int = RESOLVER_MAX_ENTRIES,
    ) -> None:
        self._store = store
        self._cache: TtlCache[tuple[str, str], StoredAdapter] = TtlCache(
            self._look_up, clock, ttl_s, max_entries
        )

    async def resolve(self, account_id: str, lora: str, model: str, weights: str) -> StoredAdapter:
        """The adapter to lease for `model`, which runs on `weights`.

        Raises `FinetuneNotFound` when the account may use none of that id or name or its files are gone,
        `LoraIncompatible` when it was made for other weights, and what `Draft.why_not_ready` says.
        """
        if not can_name_adapter(lora):
            raise FinetuneNotFound(lora)
        found = await self._cache.get((account_id, lora))
        if found is None:
            raise FinetuneNotFound(lora)
        if found.weights != weights:
            raise LoraIncompatible(lora, found.model, model)
        return found

    def forget(self) -> None:
        """Adapters were changed in this process: look again at once."""
        self._cache.forget()

    def _look_up(self, key: tuple[str, str]) -> StoredAdapter | None:
        """A draft raises what it says: it is not remembered, so one that becomes ready is used at once."""
        found = self._store.finetune(*key)
        if isinstance(found, Draft):
            raise found.why_not_ready()
        # The engine dies of an adapter whose files are gone, so it must not hear of one.
        if found is not None and not self._store.files_present(found):
            log.warning("adapter %s of account %s: its files are gone; remove and add it", found.id, key[0])
            return None
        return found
