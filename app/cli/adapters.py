"""`outworker adapter add | list | show | rm | check`: on the local data directory, or on a server."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.adapters.finetune import Draft, reason_of, state_of
from app.adapters.inspection.inspector import inspect_adapter
from app.cli.api_responses import Finetune
from app.cli.remote import Remote
from app.errors import FinetuneNotFound, OperatorError, printable
from app.server.stores import Stores, base_of, model_entry
from app.settings import Settings
from app.types import StoredAdapter

REFUSED = 1


def list_adapters(source: Stores | Remote, account: str | None) -> None:
    """One line each: id, name, model, rank, time, state, in columns."""
    if isinstance(source, Remote):
        with source.client() as client:
            print_columns(map(_row, client.list()))
        return
    found = source.finetunes.list(account or source.settings.account_id)
    print_columns(_row(_as_shown(finetune)) for finetune in found)


def show_adapter(source: Stores | Remote, account: str | None, id_or_name: str) -> None:
    """One field per line. Raises `OperatorError` when there is none."""
    if isinstance(source, Remote):
        with source.client() as client:
            _print_fields(client.show(id_or_name))
        return
    owner = account or source.settings.account_id
    with _missing_in(owner, id_or_name):
        _print_fields(_as_shown(source.finetunes.find(owner, id_or_name)))


def remove_adapter(source: Stores | Remote, account: str | None, id_or_name: str) -> None:
    if isinstance(source, Remote):
        with source.client() as client:
            client.delete(id_or_name)
    else:
        owner = account or source.settings.account_id
        with _missing_in(owner, id_or_name):
            source.finetunes.delete(owner, id_or_name)
    print(f"removed {id_or_name}")


def check_adapter(folder: Path, settings: Settings, model: str | None) -> int:
    """Inspect a folder as a server would, against the weights of the settings; the exit status."""
    base = base_of(settings, model_entry(settings, model))
    try:
        if not folder.is_dir():
            raise OperatorError(f"{folder}: is not a folder; give the one that peft's save_pretrained wrote")
        inspection = inspect_adapter(folder, base)
    except OSError as error:
        raise OperatorError(f"{folder}: {error.strerror}; the files must be readable") from error
    for line in (*inspection.findings, *(f"note: {note}" for note in inspection.notes)):
        print(line)
    if count := len(inspection.findings):
        print(f"refused: {count} finding{'s' * (count > 1)}")
        return REFUSED
    print(f"ready to upload: rank {inspection.rank}, {inspection.modules} modules")
    return 0


def print_columns(rows: Iterable[Sequence[str]]) -> None:
    """Rows of equally many cells, two spaces between the columns."""
    listed = list(rows)
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    for row in listed:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(finetune: Finetune) -> Sequence[str]:
    rank = "rank -" if finetune.rank is None else f"rank {finetune.rank}"
    return finetune.id, finetune.name, finetune.model, rank, finetune.created_at, finetune.state


def _print_fields(finetune: Finetune) -> None:
    fields = {
        "id": finetune.id,
        "name": finetune.name,
        "model": finetune.model,
        "state": finetune.state,
        "reason": finetune.reason,
        "rank": "" if finetune.rank is None else str(finetune.rank),
        "description": finetune.description,
        "public": "yes" if finetune.public else "no",
        "created": finetune.created_at,
        "modified": finetune.modified_at,
    }
    lines = [*fields.items(), *(("finding", finding) for finding in finetune.findings)]
    for key, value in lines:
        if value:
            print(f"{key:<12} {value}")


@contextmanager
def _missing_in(account: str, id_or_name: str) -> Iterator[None]:
    """Raises `OperatorError` in place of `FinetuneNotFound`."""
    try:
        yield
    except FinetuneNotFound:
        raise OperatorError(
            f"adapter {printable(id_or_name)!r}: account {printable(account)} has none with this id or name; "
            "list the adapters to see them"
        ) from None


def _as_shown(stored: StoredAdapter | Draft) -> Finetune:
    """What the local data directory has, as a server would tell of it."""
    return Finetune(
        stored.id,
        stored.name,
        stored.model,
        description=printable(stored.description, len(stored.description)),
        public=stored.public,
        created_at=stored.created_at,
        modified_at=stored.modified_at,
        state=state_of(stored),
        reason=reason_of(stored),
        findings=stored.findings if isinstance(stored, Draft) else (),
        rank=None if isinstance(stored, Draft) else stored.rank,
    )
