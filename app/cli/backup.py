"""`outworker backup` and `outworker restore`."""

from pathlib import Path

from app.backup import make_backup, restore_backup
from app.program import program

MEGABYTE = 1_000_000


def backup(place: Path, data_dir: Path) -> None:
    """Raises `OperatorError`."""
    made = make_backup(data_dir, place)
    for adapter in made.without_files:
        print(f"note: adapter {adapter} has no files in the data directory; its name alone is saved")
    print(
        f"{place}: {made.files} files, {made.size_bytes / MEGABYTE:.1f} MB; it holds tokens: keep it private"
    )


def restore(place: Path, data_dir: Path, *, replace: bool) -> None:
    """Raises `OperatorError`."""
    count = restore_backup(place, data_dir, replace=replace)
    print(f"{data_dir}: {count} files restored; start the server with `{program()} serve`")
