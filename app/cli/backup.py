"""`outworker backup` and `outworker restore`."""

from pathlib import Path

from app.adapters.local_blobs import ADAPTERS_FOLDER
from app.backup import make_backup, restore_backup
from app.errors import OperatorError
from app.program import program
from app.settings import Settings
from app.settings.values import SQLITE

MEGABYTE = 1_000_000


def backup(place: Path, settings: Settings) -> None:
    """Raises `OperatorError`."""
    made = make_backup(_data_dir(settings, "save it with pg_dump"), place)
    for adapter in made.without_files:
        print(f"note: adapter {adapter} has no files in the data directory; its name alone is saved")
    print(
        f"{place}: {made.files} files, {made.size_bytes / MEGABYTE:.1f} MB; it holds tokens: keep it private"
    )


def restore(place: Path, settings: Settings, *, replace: bool) -> None:
    """Raises `OperatorError`."""
    data_dir = _data_dir(settings, "restore it with pg_restore")
    count = restore_backup(place, data_dir, replace=replace)
    print(f"{data_dir}: {count} files restored; start the server with `{program()} serve`")


def _data_dir(settings: Settings, instead: str) -> Path:
    """Raises `OperatorError` where the data directory does not have the database."""
    data_dir = settings.server.data_dir
    if settings.database != SQLITE:
        raise OperatorError(
            f"the database setting names PostgreSQL, which is not in {data_dir}: {instead}, and copy the folder "
            f"{ADAPTERS_FOLDER} of the data directory"
        )
    return data_dir
