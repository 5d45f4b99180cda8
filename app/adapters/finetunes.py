"""What an account calls its finetunes: ready adapters and drafts together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.adapters.base import BaseShape
from app.adapters.drafts import Draft, Drafts
from app.adapters.store import AdapterStore
from app.errors import FinetuneNotFound, OperatorError
from app.types import StoredAdapter

Finetune = StoredAdapter | Draft
READY = "ready"


@dataclass(frozen=True, slots=True)
class Finetunes:
    """`changed` is called after each change, so that what is remembered elsewhere is asked for again.

    Methods block on disk and database: call from a thread.
    """

    store: AdapterStore
    drafts: Drafts
    changed: Callable[[], None]

    def find(self, account_id: str, id_or_name: str) -> Finetune:
        """The account's own, a ready one first where two share a name, or a public one by id.

        Raises `FinetuneNotFound`.
        """
        found = self.store.find(account_id, id_or_name) or self.drafts.find(account_id, id_or_name)
        if found is None:
            raise FinetuneNotFound(id_or_name)
        return found

    def draft_for_assets(self, account_id: str, id_or_name: str) -> Draft:
        """The draft that takes assets under that id or name. Raises `FinetuneNotFound` and `OperatorError`."""
        draft = self.drafts.find(account_id, id_or_name)
        if draft is not None:
            self.drafts.check_open(draft)
            return draft
        adapter = self.find(account_id, id_or_name)
        if adapter.account_id != account_id:
            raise FinetuneNotFound(id_or_name)
        raise OperatorError(
            f"{adapter.name} is ready and its assets can't be replaced: create a new finetune"
        )

    def list(self, account_id: str) -> Sequence[Finetune]:
        """The account's own, oldest first."""
        found: Sequence[Finetune] = [*self.store.list(account_id), *self.drafts.list(account_id)]
        return sorted(found, key=lambda finetune: (finetune.created_at, finetune.name))

    def finish(self, draft: Draft, base: BaseShape) -> tuple[StoredAdapter, tuple[str, ...]]:
        """See `Drafts.finish`."""
        try:
            return self.drafts.finish(draft, base)
        finally:
            self.changed()

    def delete(self, account_id: str, id_or_name: str) -> Finetune:
        """Raises `FinetuneNotFound` when the account has none of its own."""
        found = self.find(account_id, id_or_name)
        if found.account_id != account_id:
            raise FinetuneNotFound(id_or_name)
        if isinstance(found, Draft):
            self.drafts.remove(found)
        else:
            self.store.remove(account_id, found.id)
        self.changed()
        return found


def state_of(finetune: Finetune) -> str:
    """`ready`, `refused`, `unfinished` or `checking`."""
    if not isinstance(finetune, Draft):
        return READY
    if finetune.findings:
        return "refused"
    return "unfinished" if finetune.missing else "checking"


def reason_of(finetune: Finetune) -> str:
    """Why it is not ready, and what to do."""
    if not isinstance(finetune, Draft):
        return ""
    if finetune.findings:
        return f"{finetune.findings[0]}. Create it again with files that pass"
    if finetune.missing:
        return f"upload {' and '.join(finetune.missing)}"
    return "its assets are being checked: ask again"
