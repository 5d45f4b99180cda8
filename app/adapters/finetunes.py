"""What an account calls its finetunes: ready adapters and drafts together."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from app.adapters.inspection.base_model import BaseShape
from app.adapters.lifecycle import Draft, Drafts
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
        draft = self.drafts.find(account_id, id_or_name)  # first: it may become ready before the next line
        found = self.store.find(account_id, id_or_name) or draft
        if found is None:
            raise FinetuneNotFound(id_or_name)
        return found

    def draft_for_assets(self, account_id: str, id_or_name: str, weights: Container[str]) -> Draft:
        """The draft that takes assets under that id or name; `weights` are those that are served.

        Raises `FinetuneNotFound` and `OperatorError`.
        """
        draft = self.drafts.find(account_id, id_or_name)
        if draft is not None:
            self.drafts.check_open(draft)
            if draft.weights not in weights:
                raise OperatorError(
                    f"{draft.model} is not served as it was when {draft.name} was created: create it again"
                )
            return draft
        adapter = self.find(account_id, id_or_name)
        if adapter.account_id != account_id:
            raise FinetuneNotFound(id_or_name)
        raise OperatorError(
            f"{adapter.name} is ready and its assets can't be replaced: create a new finetune"
        )

    def list(self, account_id: str) -> Sequence[Finetune]:
        """The account's own, oldest first."""
        drafts = self.drafts.list(account_id)  # first: one may become ready before the next line
        ready = self.store.list(account_id)
        known = {adapter.id for adapter in ready}
        found: Sequence[Finetune] = [*ready, *(draft for draft in drafts if draft.id not in known)]
        return sorted(found, key=lambda finetune: (finetune.created_at, finetune.name))

    def finish(self, draft: Draft, base: BaseShape) -> tuple[StoredAdapter, tuple[str, ...]]:
        """See `Drafts.finish`."""
        try:
            return self.drafts.finish(draft, base)
        finally:
            self.changed()

    def delete(self, account_id: str, id_or_name: str) -> Finetune:
        """Raises `FinetuneNotFound` when the account has none of its own."""
        while True:
            found = self.find(account_id, id_or_name)
            if found.account_id != account_id:
                raise FinetuneNotFound(id_or_name)
            if self._remove(found):
                self.changed()
                return found

    def _remove(self, found: Finetune) -> bool:
        """Whether it was there: a draft may have become ready meanwhile."""
        if isinstance(found, Draft):
            return self.drafts.remove(found)
        self.store.remove(found.account_id, found.id)
        return True


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
