"""Which adapter a request's `lora` means."""

import asyncio
import logging

from app.adapters.lifecycle import Draft, Drafts
from app.adapters.store import AdapterStore
from app.concurrency import Clock, TtlCache
from app.errors import (
    ApiError,
    FinetuneIncomplete,
    FinetuneNotFound,
    FinetuneRefused,
    LoraIncompatible,
    OutOfCapacity,
)
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
        drafts: Drafts,
        clock: Clock,
        ttl_s: float = RESOLVER_TTL_S,
        max_entries: int = RESOLVER_MAX_ENTRIES,
    ) -> None:
        self._store = store
        self._drafts = drafts
        self._cache = TtlCache(self._look_up, clock, ttl_s, max_entries)

    async def resolve(self, account_id: str, lora: str, model: str, weights: str) -> StoredAdapter:
        """The adapter to lease for `model`, which runs on `weights`.

        Raises `FinetuneNotFound` when the account may use none of that id or name or its files are gone,
        `LoraIncompatible` when it was made for other weights, and what `why_not_ready` says.
        """
        if not can_name_adapter(lora):
            raise FinetuneNotFound(lora)
        adapter = await self._cache.get((account_id, lora))
        if adapter is None:
            loop = asyncio.get_running_loop()
            adapter = await loop.run_in_executor(self._cache.threads, self._not_a_draft, account_id, lora)
        if adapter.weights != weights:
            raise LoraIncompatible(lora, adapter.model, model)
        return adapter

    def forget(self) -> None:
        """Adapters were changed in this process: look again at once."""
        self._cache.forget()

    def _not_a_draft(self, account_id: str, lora: str) -> StoredAdapter:
        """Where no ready adapter was found. One more look: a draft may have become ready between the first and this."""
        draft = self._drafts.find(account_id, lora)
        adapter = self._look_up((account_id, lora))
        if adapter is None:
            raise FinetuneNotFound(lora) if draft is None else why_not_ready(draft)
        return adapter

    def _look_up(self, key: tuple[str, str]) -> StoredAdapter | None:
        adapter = self._store.find(*key)
        # The engine dies of an adapter whose files are gone, so it must not hear of one.
        if adapter is not None and not self._store.files_present(adapter):
            log.warning("adapter %s of account %s: its files are gone; remove and add it", adapter.id, key[0])
            return None
        return adapter


def why_not_ready(draft: Draft) -> ApiError:
    """What a request hears that names a draft."""
    if draft.findings:
        return FinetuneRefused(draft.findings[0])
    if draft.missing:
        return FinetuneIncomplete(draft.name, " and ".join(draft.missing))
    return OutOfCapacity("The finetune is being checked.")
