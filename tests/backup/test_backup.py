"""app/backup: one moment of a data directory, whole, and back again; what is damaged changes nothing."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from app.adapters.finetune import Draft
from app.backup import make_backup, restore_backup
from app.backup.manifest import MANIFEST_FILE, Entry, manifest_bytes
from app.database.tables import METADATA
from app.errors import OperatorError
from tests.backup.conftest import Data, open_data
from tests.database.old_data import OLD_DATA_DIR, assert_old_data, old_data_dir
from tests.live.server import CHECKOUT, LiveServer, outworker

FAKE = CHECKOUT / "wrangler-like-config" / "fake-engine.toml"
PLACES = ["saved", "saved.tar"]
KILLED = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("DELETE FROM adapters")
database.commit()
os._exit(9)
"""


def contents(folder: Path) -> dict[str, bytes]:
    """Of all files but SQLite's shared memory, which is not data and changes when somebody reads."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


def restored(place: Path, data_dir: Path) -> Data:
    restore_backup(place, data_dir, replace=False)
    return open_data(data_dir)


@pytest.mark.parametrize("name", PLACES)
def test_all_of_it_comes_back(data: Data, tmp_path: Path, name: str) -> None:
    token_id, token = data.tokens.create("acme", ["ai:read"])
    make_backup(data.path, tmp_path / name)
    before = contents(data.path / "adapters")
    shutil.rmtree(data.path)
    back = restored(tmp_path / name, tmp_path / "back")
    assert contents(back.path / "adapters") == before
    assert [adapter.name for adapter in back.adapters.list("acme")] == ["one", "two"]
    assert [draft.name for draft in back.finetunes.list("acme") if isinstance(draft, Draft)] == ["half"]
    assert back.tokens.find(token) is not None
    assert back.tokens.find((back.path / "dev-token").read_text().strip()) is not None
    assert not back.missing()
    stored = [path for path in (back.path / "adapters").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in stored} == {0o400}
    back.tokens.revoke(token_id)
    back.database.dispose()


def test_only_its_owner_can_read_it(data: Data, tmp_path: Path) -> None:
    for name in PLACES:
        make_backup(data.path, tmp_path / name)
        assert (tmp_path / name).stat().st_mode & 0o77 == 0
        assert not [path for path in (tmp_path / name).rglob("*") if path.stat().st_mode & 0o77]


def test_nothing_of_the_work_stays(data: Data, tmp_path: Path) -> None:
    before = set(contents(data.path))
    make_backup(data.path, tmp_path / "saved")
    assert set(contents(data.path)) - {"outworker.db-shm", "outworker.db-wal"} == before - {
        "outworker.db-shm",
        "outworker.db-wal",
    }
    assert sorted(path.name for path in tmp_path.glob("*saved*")) == ["saved"]


def test_each_is_of_one_moment(data: Data, tmp_path: Path, times: Callable[[int], int]) -> None:
    """While adapters are added, replaced and removed and assets arrive."""
    stop = threading.Event()

    def churn(number: int) -> None:
        own = open_data(data.path)
        for turn in range(10_000):
            if stop.is_set():
                break
            own.add(tmp_path, f"c{number}", number * 10 + turn % 7, replace=True)
            own.draft(f"d{number}", str(turn).encode())
            if turn % 3 == 0:
                own.adapters.remove("acme", f"c{number}")
        own.database.dispose()

    with ThreadPoolExecutor(2) as threads:
        churning = [threads.submit(churn, number) for number in (1, 2)]
        try:
            for turn in range(times(200)):
                make_backup(data.path, tmp_path / f"saved{turn}")
                back = restored(tmp_path / f"saved{turn}", tmp_path / f"back{turn}")
                assert not back.missing()
                back.database.dispose()
        finally:
            stop.set()
        for future in churning:
            future.result()


@pytest.mark.parametrize("name", ["there", "there.tar", "full", "x.tar.gz", "nowhere/deep/saved"])
def test_a_place_that_cannot_be_is_one_line(data: Data, tmp_path: Path, name: str) -> None:
    (tmp_path / "there").write_text("kept")
    (tmp_path / "there.tar").write_text("kept")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("kept")
    before = contents(tmp_path)
    with pytest.raises(OperatorError) as refused:
        make_backup(data.path, tmp_path / name)
    assert str(tmp_path / name) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert contents(tmp_path) == before


def test_a_folder_without_a_database_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="OUTWORKER_DATA_DIR"):
        make_backup(tmp_path / "nowhere", tmp_path / "saved")
    assert not (tmp_path / "nowhere").exists()


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / "backup.json").read_bytes())
    change(manifest)
    (folder / "backup.json").write_text(json.dumps(manifest))


def cut_database(folder: Path) -> None:
    path = folder / "outworker.db"
    path.write_bytes(path.read_bytes()[:5000])


def flip(folder: Path) -> None:
    path = next(folder.glob("adapters/acme/*/adapter_model.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def grow(folder: Path) -> None:
    with (folder / "dev-token").open("ab") as file:
        file.write(b"more")


def escape(manifest: dict[str, Any]) -> None:
    manifest["files"]["../escaped"] = {"bytes": 1, "sha256": "0" * 64}


def other_database(folder: Path) -> None:
    """Of another program, with a manifest that fits."""
    (folder / "outworker.db").unlink()
    change_database(folder, "CREATE TABLE other (x)")


def change_database(folder: Path, statement: str) -> None:
    """With a manifest that fits."""
    with closing(sqlite3.connect(folder / "outworker.db", isolation_level=None)) as database:
        database.execute(statement)
    content = (folder / "outworker.db").read_bytes()
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    rewrite(folder, lambda manifest: manifest["files"].update({"outworker.db": entry}))


def table_to_view(folder: Path) -> None:
    change_database(folder, "ALTER TABLE tokens RENAME TO others")
    change_database(folder, "CREATE VIEW tokens AS SELECT * FROM others")


def older_without_adapters(folder: Path) -> None:
    change_database(folder, "UPDATE schema_version SET version = 0")
    change_database(folder, "DROP TABLE adapters")


def link(folder: Path) -> None:
    (folder / "dev-token").unlink()
    (folder / "dev-token").symlink_to("/etc/passwd")


def pipe(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no manifest": lambda folder: (folder / "backup.json").unlink(),
    "no JSON": lambda folder: (folder / "backup.json").write_text("{"),
    "another shape": lambda folder: (folder / "backup.json").write_text("[]"),
    "files of another shape": lambda folder: rewrite(folder, lambda m: m.update(files={"dev-token": 1})),
    "a newer format": lambda folder: rewrite(folder, lambda m: m.update(format=2)),
    "another path": lambda folder: rewrite(folder, escape),
    "no database": lambda folder: rewrite(folder, lambda m: m["files"].pop("outworker.db")),
    "a missing file": lambda folder: (folder / "dev-token").unlink(),
    "a cut database": cut_database,
    "another program's database": other_database,
    "a version that is no number": lambda folder: change_database(
        folder, "UPDATE schema_version SET version = 'newest'"
    ),
    **{
        f"no table {name}": partial(change_database, statement=f"DROP TABLE {name}")
        for name in METADATA.tables
    },
    "a view for a table": table_to_view,
    "a table without a column": lambda folder: change_database(
        folder, "ALTER TABLE adapters DROP COLUMN findings"
    ),
    "an older version without a table": older_without_adapters,
    "a version that is nothing": lambda folder: change_database(folder, "DELETE FROM schema_version"),
    "one other bit": flip,
    "a longer file": grow,
    "a link": link,
    "a pipe that nobody writes to": partial(pipe, name="dev-token"),
    "a pipe for a manifest": partial(pipe, name="backup.json"),
}


@pytest.mark.parametrize("name", sorted(METADATA.tables))
def test_what_is_missing_is_named(data: Data, tmp_path: Path, name: str) -> None:
    make_backup(data.path, tmp_path / "saved")
    change_database(tmp_path / "saved", f"DROP TABLE {name}")
    with pytest.raises(OperatorError, match=name):
        restore_backup(tmp_path / "saved", tmp_path / "new", replace=False)
    assert not (tmp_path / "new" / "outworker.db").exists()


@pytest.mark.parametrize("name", ["tokens", "adapters", "schema_version"])
def test_a_database_that_lost_a_table_is_not_saved(data: Data, tmp_path: Path, name: str) -> None:
    data.database.dispose()
    with closing(sqlite3.connect(data.path / "outworker.db", isolation_level=None)) as database:
        database.execute(f"DROP TABLE {name}")
    with pytest.raises(OperatorError, match=f"no table {name}"):
        make_backup(data.path, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_the_database_of_an_older_program_is_saved_and_comes_back(tmp_path: Path) -> None:
    old = old_data_dir(tmp_path / "old")
    make_backup(old, tmp_path / "saved")
    assert contents(old) == contents(OLD_DATA_DIR)
    assert_old_data(restored(tmp_path / "saved", tmp_path / "back").database)


def test_the_backup_of_an_older_program_comes_back(tmp_path: Path) -> None:
    saved = old_data_dir(tmp_path / "saved")
    files = {str(path.relative_to(saved)): path for path in saved.rglob("*") if path.is_file()}
    entries = {
        name: Entry(path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for name, path in files.items()
    }
    (saved / MANIFEST_FILE).write_bytes(manifest_bytes(entries, "2026-01-01T00:00:00+00:00"))
    assert_old_data(restored(saved, tmp_path / "back").database)


def as_tar(folder: Path) -> Path:
    place = folder.with_name(folder.name + ".tar")
    with tarfile.open(place, "w") as archive:
        for path in folder.rglob("*"):
            if not path.is_dir() or path.is_symlink():
                archive.add(path, str(path.relative_to(folder)))
    return place


@pytest.mark.parametrize("tar", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_backup_changes_nothing(data: Data, tmp_path: Path, damage: str, tar: bool) -> None:
    make_backup(data.path, tmp_path / "saved")
    data.database.dispose()
    DAMAGES[damage](tmp_path / "saved")
    place = as_tar(tmp_path / "saved") if tar else tmp_path / "saved"
    before = contents(data.path)
    with pytest.raises(OperatorError) as refused:
        restore_backup(place, data.path, replace=True)
    assert "\n" not in str(refused.value)
    after = contents(data.path)
    after.pop("server.lock")
    assert after == before
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("content", [b"", b"no tar at all", b"\0" * 10_240])
def test_what_is_no_backup_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    for place in (tmp_path / "x.tar", tmp_path / "nowhere", tmp_path):
        with pytest.raises(OperatorError, match=str(place)):
            restore_backup(place, tmp_path / "data", replace=False)


def test_a_cut_tar_changes_nothing(data: Data, tmp_path: Path) -> None:
    make_backup(data.path, tmp_path / "saved.tar")
    whole = (tmp_path / "saved.tar").read_bytes()
    for length in range(512, len(whole) - 10_240, 4096):
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        with pytest.raises(OperatorError):
            restore_backup(tmp_path / "cut.tar", tmp_path / "new", replace=False)
        assert not (tmp_path / "new" / "outworker.db").exists()


def test_what_is_there_is_lost_only_when_asked(data: Data, tmp_path: Path) -> None:
    make_backup(data.path, tmp_path / "saved")
    data.add(tmp_path, "later", 3)
    data.adapters.remove("acme", "one")
    data.draft("later-half", b"[]")
    data.database.dispose()
    with pytest.raises(OperatorError, match="--replace"):
        restore_backup(tmp_path / "saved", data.path, replace=False)
    restore_backup(tmp_path / "saved", data.path, replace=True)
    back = open_data(data.path)
    assert [adapter.name for adapter in back.adapters.list("acme")] == ["one", "two"]
    assert not back.missing()
    assert len(list(data.path.glob("adapters/acme/*"))) == 2
    assert len(list(data.path.glob("adapters/.drafts/*"))) == 1
    assert back.adapters.find("acme", "later") is None
    back.database.dispose()


def test_the_log_of_a_killed_process_is_not_applied_to_it(data: Data, tmp_path: Path) -> None:
    make_backup(data.path, tmp_path / "saved")
    data.database.dispose()
    subprocess.run([sys.executable, "-c", KILLED, str(data.path / "outworker.db")], check=False)
    assert (data.path / "outworker.db-wal").stat().st_size > 0
    restore_backup(tmp_path / "saved", data.path, replace=True)
    back = open_data(data.path)
    assert len(back.adapters.list("acme")) == 2
    back.database.dispose()


def test_a_damaged_database_can_be_replaced(data: Data, tmp_path: Path) -> None:
    make_backup(data.path, tmp_path / "saved")
    data.database.dispose()
    (data.path / "outworker.db").write_bytes(b"no database" * 1000)
    restore_backup(tmp_path / "saved", data.path, replace=True)
    back = open_data(data.path)
    assert len(back.adapters.list("acme")) == 2
    back.database.dispose()


def test_a_database_in_use_is_not_replaced(data: Data, tmp_path: Path) -> None:
    make_backup(data.path, tmp_path / "saved")
    with data.database.connect() as connection:
        connection.exec_driver_sql("SELECT * FROM tokens").fetchone()
        with pytest.raises(OperatorError, match="restore again"):
            restore_backup(tmp_path / "saved", data.path, replace=True)
    assert [adapter.name for adapter in data.adapters.list("acme")] == ["one", "two"]
    assert not data.missing()


def test_beside_a_running_server(tmp_path: Path) -> None:
    """It is saved while it serves, and never restored under it."""
    server = LiveServer(tmp_path / "data", FAKE).start().wait_ready()
    try:
        saved = outworker("backup", str(tmp_path / "saved.tar"), data_dir=server.data_dir)
        assert saved.returncode == 0, saved.stderr
        for arguments in (["--replace"], []):
            command = ["restore", str(tmp_path / "saved.tar"), *arguments]
            refused = outworker(*command, data_dir=server.data_dir)
            assert refused.returncode == 2
            assert "another server" in refused.stderr
        assert server.run({"prompt": "a"}).status_code == 200
    finally:
        assert server.stop() == 0
    back = outworker("restore", str(tmp_path / "saved.tar"), data_dir=tmp_path / "back")
    assert back.returncode == 0, back.stderr
    listed = outworker("adapter", "list", data_dir=tmp_path / "back")
    assert "pirate" in listed.stdout


def test_a_member_that_is_no_file_is_refused(data: Data, tmp_path: Path) -> None:
    make_backup(data.path, tmp_path / "saved")
    manifest = (tmp_path / "saved" / "backup.json").read_bytes()
    with tarfile.open(tmp_path / "odd.tar", "w") as archive:
        entry = tarfile.TarInfo("backup.json")
        entry.size = len(manifest)
        archive.addfile(entry, BytesIO(manifest))
        for name in json.loads(manifest)["files"]:
            odd = tarfile.TarInfo(name)
            odd.type, odd.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(odd)
    with pytest.raises(OperatorError, match="is not"):
        restore_backup(tmp_path / "odd.tar", tmp_path / "new", replace=False)


@pytest.mark.parametrize(
    "fields",
    [
        {"GNU.sparse.map": "a,b", "GNU.sparse.size": "9"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "x"},
        {"GNU.sparse.size": "x"},
        {"path": ""},
    ],
)
def test_headers_that_are_no_numbers_are_refused(tmp_path: Path, fields: dict[str, str]) -> None:
    with tarfile.open(tmp_path / "odd.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        odd = tarfile.TarInfo("odd")
        odd.pax_headers = fields
        archive.addfile(odd)
    with pytest.raises(OperatorError) as refused:
        restore_backup(tmp_path / "odd.tar", tmp_path / "new", replace=False)
    assert "\n" not in str(refused.value)
