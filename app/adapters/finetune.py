"""What an account calls its finetunes: ready adapters, and drafts, which are those that are not ready yet."""

from dataclasses import dataclass
from pathlib import Path

from app.adapters.rows import AdapterRow
from app.database.tables import CHECKING, CREATED, READY, REFUSED
from app.errors import ApiError, FinetuneIncomplete, FinetuneRefused, OperatorError, OutOfCapacity
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.types import StoredAdapter

STATES = {CREATED: "unfinished", CHECKING: "checking", REFUSED: "refused"}
"""What a draft's state is called in the API."""


@dataclass(frozen=True, slots=True)
class Draft:
    """`missing` are the assets that are still to come. `findings` is empty unless it was refused."""

    id: str
    account_id: str
    name: str
    model: str
    weights: str
    description: str
    public: bool
    replaces: bool
    state: str
    missing: tuple[str, ...]
    findings: tuple[str, ...]
    config_sha256: str
    weights_sha256: str
    created_at: str
    modified_at: str

    @property
    def complete(self) -> bool:
        """Both assets are in, and what to think of them is not yet known."""
        return self.state == CHECKING

    def check_open(self) -> None:
        """Raises `OperatorError` when it takes no asset any more."""
        if self.findings:
            raise OperatorError(
                f"{self.name} was refused: create it again. The reason was: {self.findings[0]}"
            )
        if not self.missing:
            raise OperatorError(f"{self.name} has both its assets, which can't be replaced: create it again")

    def why_not_ready(self) -> ApiError:
        """What a request hears that names it."""
        if self.findings:
            return FinetuneRefused(self.findings[0])
        if self.missing:
            return FinetuneIncomplete(self.name, " and ".join(self.missing))
        return OutOfCapacity("The finetune is being checked.")


Finetune = StoredAdapter | Draft


def to_adapter(row: AdapterRow, folder: Path) -> StoredAdapter:
    """The ready adapter of a row, whose files are in `folder`."""
    return StoredAdapter(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        model=row.model,
        weights=row.weights,
        digest=row.digest,
        folder=folder,
        rank=row.rank,
        description=row.description,
        public=row.public,
        created_at=row.created_at,
        modified_at=row.modified_at,
    )


def to_draft(row: AdapterRow) -> Draft:
    """The draft of a row that is not ready."""
    sent = {CONFIG_FILE: row.config_sha256, WEIGHTS_FILE: row.weights_sha256}
    return Draft(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        model=row.model,
        weights=row.weights,
        description=row.description,
        public=row.public,
        replaces=row.replaces,
        state=row.state,
        missing=tuple(name for name, sha256 in sent.items() if not sha256),
        findings=tuple(row.findings.splitlines()),
        config_sha256=row.config_sha256,
        weights_sha256=row.weights_sha256,
        created_at=row.created_at,
        modified_at=row.modified_at,
    )


def state_of(finetune: Finetune) -> str:
    """`ready`, `refused`, `unfinished` or `checking`."""
    return STATES[finetune.state] if isinstance(finetune, Draft) else READY


def reason_of(finetune: Finetune) -> str:
    """Why it is not ready, and what to do."""
    if not isinstance(finetune, Draft):
        return ""
    if finetune.findings:
        return f"{finetune.findings[0]}. Create it again with files that pass"
    if finetune.missing:
        return f"upload {' and '.join(finetune.missing)}"
    return "its assets are being checked: ask again"
