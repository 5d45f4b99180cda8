import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update

from app.adapters.inspection.inspector import inspect_adapter
from app.adapters.lifecycle import Finetunes
from app.adapters.local_blobs import LocalBlobs
from app.adapters.sealing import adapter_digest
from app.adapters.store import AdapterStore
from app.database.opening import open_database
from app.database.tables import ADAPTERS
from app.errors import AdapterRefused, OperatorError
from app.types import StoredAdapter
from tests.adapters.make import Q_B, TINY, good

ROOT = Path(__file__).parents[2]
WEIGHTS = "stand-in"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return good().write(tmp_path / "source")


def add(
    store: AdapterStore, source: Path, name: str = "one", account: str = "acme", **options: Any
) -> StoredAdapter:
    weights = options.pop("weights", WEIGHTS)
    return store.add(account, name, "@cf/m", weights, source, TINY, **options)


def other(folder: Path, value: float) -> Path:
    adapter = good()
    adapter.tensors[Q_B][0, 0] = value
    return adapter.write(folder)


def stored_folders(tmp_path: Path) -> list[str]:
    return sorted(
        str(path.parent.relative_to(tmp_path / "data")) for path in tmp_path.glob("data/adapters/*/*/*.json")
    )


def row_count(database: Engine) -> int:
    with database.connect() as connection:
        return connection.execute(select(func.count()).select_from(ADAPTERS)).scalar_one()


def test_a_stored_adapter_is_found_by_id_and_name(store: AdapterStore, source: Path, tmp_path: Path) -> None:
    stored = add(store, source, description="says ahoy", public=True)
    assert store.find("acme", "one") == stored
    assert store.find("acme", stored.id) == stored
    assert store.find("acme", stored.id.upper()) == stored
    assert store.list("acme") == [stored]
    assert (stored.name, stored.model, stored.weights, stored.rank) == ("one", "@cf/m", WEIGHTS, 4)
    assert (stored.description, stored.public, stored.account_id) == ("says ahoy", True, "acme")
    assert stored.folder == tmp_path / "data" / "adapters" / "acme" / stored.digest
    assert stored.created_at.endswith("+00:00")


def test_what_the_engine_reads_is_ours(store: AdapterStore, source: Path) -> None:
    stored = add(store, source)
    config = (stored.folder / "adapter_config.json").read_bytes()
    weights = (stored.folder / "adapter_model.safetensors").read_bytes()
    assert json.loads(config) == inspect_adapter(source, TINY).config
    assert weights == (source / "adapter_model.safetensors").read_bytes()
    assert stored.digest == adapter_digest(config, hashlib.sha256(weights).hexdigest())
    assert sorted(path.name for path in stored.folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_files_are_private_and_read_only(store: AdapterStore, source: Path) -> None:
    stored = add(store, source)
    assert {path.stat().st_mode & 0o777 for path in stored.folder.iterdir()} == {0o400}
    for folder in (stored.folder, stored.folder.parent, stored.folder.parent.parent):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_the_digest_depends_on_both_files(store: AdapterStore, source: Path, tmp_path: Path) -> None:
    digests = {
        add(store, source, "a").digest,
        add(store, good(lora_alpha=9).write(tmp_path / "s2"), "b").digest,
        add(store, other(tmp_path / "s3", 0.5), "c").digest,
    }
    assert len(digests) == 3
    # What the configuration says beside the checked values is no content.
    assert add(store, good(revision="main").write(tmp_path / "s4"), "d").digest in digests


def test_broken_files_leave_nothing(store: AdapterStore, database: Engine, tmp_path: Path) -> None:
    broken = good(r=99).write(tmp_path / "source")
    with pytest.raises(AdapterRefused, match=r"^adapter_config.json: r is 99, .* in that range$"):
        add(store, broken)
    assert row_count(database) == 0
    assert stored_folders(tmp_path) == []
    assert list((tmp_path / "data" / "adapters" / ".incoming").iterdir()) == []


def test_a_refusal_says_how_many_findings_follow(store: AdapterStore, tmp_path: Path) -> None:
    with pytest.raises(AdapterRefused, match=r"\(and 1 more\)$"):
        add(store, good(use_dora=True, lora_bias=True).write(tmp_path / "source"))


def test_missing_files_are_refused(store: AdapterStore, tmp_path: Path) -> None:
    with pytest.raises(AdapterRefused, match=r"adapter_config.json: is missing .*\(and 1 more\)"):
        add(store, tmp_path)


def test_the_same_again_is_the_same(store: AdapterStore, source: Path, database: Engine) -> None:
    assert add(store, source) == add(store, source)
    assert row_count(database) == 1


def test_the_same_again_restores_lost_files(store: AdapterStore, source: Path) -> None:
    stored = add(store, source)
    (stored.folder / "adapter_model.safetensors").unlink()
    assert not store.files_present(stored)
    assert add(store, source) == stored
    assert store.files_present(stored)


def test_the_same_again_restores_cut_files(store: AdapterStore, source: Path) -> None:
    stored = add(store, source)
    file = stored.folder / "adapter_model.safetensors"
    file.chmod(0o600)
    os.truncate(file, 100)
    add(store, source)
    assert file.read_bytes() == (source / "adapter_model.safetensors").read_bytes()


def test_other_content_under_the_same_name_is_refused(
    store: AdapterStore, source: Path, tmp_path: Path
) -> None:
    stored = add(store, source)
    with pytest.raises(OperatorError, match="one of this name; delete it"):
        add(store, other(tmp_path / "s2", 0.5))
    with pytest.raises(OperatorError, match="one of this name; delete it"):
        add(store, source, weights="other-weights")
    assert store.list("acme") == [stored]
    assert stored_folders(tmp_path) == [f"adapters/acme/{stored.digest}"]


def test_replacing_is_asked_for(store: AdapterStore, source: Path, tmp_path: Path, database: Engine) -> None:
    old = add(store, source)
    new = add(store, other(tmp_path / "s2", 0.5), replace=True)
    assert new.id != old.id
    assert store.list("acme") == [new]
    assert store.find("acme", old.id) is None
    assert stored_folders(tmp_path) == [f"adapters/acme/{new.digest}"]
    assert row_count(database) == 1


def test_own_names_win_and_public_ones_are_called_by_id(
    store: AdapterStore, source: Path, tmp_path: Path
) -> None:
    public = add(store, source, "shared", "acme", public=True)
    private = add(store, source, "secret", "acme")
    own = add(store, other(tmp_path / "s2", 0.5), "shared", "beta")
    assert store.find("beta", "shared") == own
    assert store.find("beta", public.id) == public
    assert store.find("beta", private.id) is None
    assert store.find("beta", "secret") is None
    assert store.find("gamma", "shared") is None
    assert store.list("beta") == [own]


def test_accounts_never_share_a_folder(store: AdapterStore, source: Path) -> None:
    one, two = add(store, source, account="acme"), add(store, source, account="beta")
    assert one.digest == two.digest
    assert one.folder != two.folder
    assert one.engine_name != two.engine_name


@pytest.mark.parametrize("lora", ["", "../one", "o%", "one\0", "x" * 5000, "\ud800"])
def test_what_can_be_no_name_finds_nothing(lora: str, store: AdapterStore, source: Path) -> None:
    add(store, source)
    assert store.find("acme", lora) is None


def test_removing_ends_row_and_files(
    store: AdapterStore, source: Path, tmp_path: Path, database: Engine
) -> None:
    stored = add(store, source)
    assert store.remove("acme", "one").id == stored.id
    assert store.find("acme", stored.id) is None
    assert stored_folders(tmp_path) == []
    assert row_count(database) == 0
    with pytest.raises(OperatorError, match="account acme has none"):
        store.remove("acme", "one")


def test_files_stay_while_another_row_of_the_account_has_them(store: AdapterStore, source: Path) -> None:
    one, two = add(store, source, "one"), add(store, source, "two")
    foreign = add(store, source, "one", "beta")
    store.remove("acme", one.id)
    assert store.files_present(two)
    store.remove("acme", "two")
    assert not store.files_present(two)
    assert store.files_present(foreign)


def test_public_adapters_of_others_cannot_be_removed(store: AdapterStore, source: Path) -> None:
    public = add(store, source, public=True)
    with pytest.raises(OperatorError, match="none with this id"):
        store.remove("beta", public.id)


def test_100_adapters_are_the_most(store: AdapterStore, source: Path, database: Engine) -> None:
    last = [add(store, source, f"a{number}") for number in range(100)][-1]
    with pytest.raises(OperatorError, match="100 of at most 100"):
        add(store, source, "a100")
    assert add(store, source, "a99") == last
    add(store, source, "a100", "beta")
    store.remove("acme", "a5")
    add(store, source, "a100")


@pytest.fixture(params=["one disk", "a disk each"])
def elsewhere(request: pytest.FixtureRequest, database: Engine, tmp_path: Path) -> Iterator[list[Finetunes]]:
    """Those of four servers over one database, each account with room for six."""
    engines = [open_database(database.url) for _ in range(4)]
    folders = ["data"] * 4 if request.param == "one disk" else ["data", "data2", "data3", "data4"]
    yield [
        Finetunes(AdapterStore(engine, LocalBlobs(tmp_path / folder / "adapters"), max_adapters=6))
        for engine, folder in zip(engines, folders, strict=True)
    ]
    for engine in engines:
        engine.dispose()


def at_once(elsewhere: list[Finetunes], add_one: Callable[[Finetunes, int], object]) -> list[str]:
    """What 24 calls at once are refused for."""

    def call(number: int) -> str:
        try:
            add_one(elsewhere[number % 4], number)
        except OperatorError as refused:
            return str(refused)
        return ""

    with ThreadPoolExecutor(8) as threads:
        return [refusal for refusal in threads.map(call, range(24)) if refusal]


def test_room_holds_for_many_at_once(elsewhere: list[Finetunes], source: Path) -> None:
    def add_one(finetunes: Finetunes, number: int) -> None:
        if number % 3:
            finetunes.create("acme", f"n{number}", "@cf/m", WEIGHTS)
        else:
            add(finetunes.store, source, f"n{number}")

    refusals = at_once(elsewhere, add_one)
    assert len(refusals) == 18
    assert all("6 of at most 6" in refusal for refusal in refusals)
    assert len(elsewhere[0].list("acme")) == 6
    for copies in zip(*(finetunes.store.list("acme") for finetunes in elsewhere), strict=True):
        assert any(elsewhere[0].store.files_present(adapter) for adapter in copies)


def test_a_name_is_given_once_to_many_at_once(elsewhere: list[Finetunes], tmp_path: Path) -> None:
    folders = [other(tmp_path / f"s{number}", float(number + 1)) for number in range(24)]
    refusals = at_once(elsewhere, lambda finetunes, number: add(finetunes.store, folders[number], "same"))
    assert len(refusals) == 23
    assert all("has one of this name" in refusal for refusal in refusals)
    (ready,) = elsewhere[0].store.list("acme")
    assert [path.parent.name for path in tmp_path.glob("*/adapters/acme/*/*.json")] == [ready.digest]


def test_of_many_drafts_of_a_name_the_last_one_is_kept(elsewhere: list[Finetunes]) -> None:
    refusals = at_once(elsewhere, lambda finetunes, _: finetunes.create("acme", "same", "@cf/m", WEIGHTS))
    assert refusals == []
    assert len(elsewhere[0].list("acme")) == 1


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"name": "public"}, "reserved"),
        ({"account": "a/b"}, "account id"),
        ({"account": ".."}, "account id"),
        ({"description": "x" * 2001}, "2001 characters"),
        ({"description": "caf\udce9"}, "not text in UTF-8"),
    ],
)
def test_bad_arguments_are_refused(
    changes: dict[str, Any], phrase: str, store: AdapterStore, source: Path
) -> None:
    with pytest.raises(OperatorError, match=phrase):
        add(store, source, **changes)


def test_a_full_disk_is_one_line_and_loses_nothing(
    store: AdapterStore, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = add(store, source)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OperatorError, match="adapter files: No space left on device; check room"):
        add(store, other(tmp_path / "s2", 0.5), "two")
    monkeypatch.undo()
    assert store.list("acme") == [stored]
    assert store.files_present(stored)
    assert list((tmp_path / "data" / "adapters" / ".incoming").iterdir()) == []


@pytest.mark.parametrize("state", ["adding", "removing"])
def test_unfinished_rows_are_invisible_and_undone(
    state: str, store: AdapterStore, source: Path, tmp_path: Path, database: Engine
) -> None:
    stored = add(store, source)
    with database.begin() as connection:
        connection.execute(update(ADAPTERS).values(state=state))
    assert store.find("acme", "one") is None
    assert store.list("acme") == []
    AdapterStore(database, LocalBlobs(tmp_path / "data" / "adapters"))
    assert row_count(database) == 0
    assert not store.files_present(stored)


STEPS = {
    "remove": "app.adapters.local_blobs.LocalBlobs.remove",
    "discard": "app.adapters.local_blobs.LocalBlobs.discard",
    "commit": "app.adapters.local_blobs.LocalBlobs.commit",
    "receive": "app.adapters.sealing._receive",
    "seal": "app.adapters.sealing._seal",
    "the row": "app.adapters.rows.insert_row",
    "its state": "app.adapters.rows.change",
}


class Killed(BaseException):
    pass


def killed(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.parametrize("step", ["remove", "discard"])
def test_a_removal_that_ends_midway_is_invisible_at_once(
    step: str, source: Path, tmp_path: Path, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = AdapterStore(database, LocalBlobs(tmp_path / "data" / "adapters"))
    stored = add(store, source)
    monkeypatch.setattr(STEPS[step], killed)
    with pytest.raises(Killed):
        store.remove("acme", "one")
    monkeypatch.undo()
    assert store.find("acme", "one") is None
    AdapterStore(database, LocalBlobs(tmp_path / "data" / "adapters"))
    assert row_count(database) == 0
    assert not stored.folder.exists()


@pytest.mark.parametrize("step", ["receive", "seal", "commit"])
def test_an_addition_that_ends_midway_is_invisible(
    step: str, source: Path, tmp_path: Path, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = AdapterStore(database, LocalBlobs(tmp_path / "data" / "adapters"))
    monkeypatch.setattr(STEPS[step], killed)
    with pytest.raises(Killed):
        add(store, source)
    monkeypatch.undo()
    assert store.list("acme") == []
    AdapterStore(database, LocalBlobs(tmp_path / "data" / "adapters"))
    assert row_count(database) == 0
    assert add(store, source).name == "one"


@pytest.mark.parametrize("step", ["the row", "its state"])
def test_an_addition_whose_row_never_became_ready_leaves_no_files(
    step: str, source: Path, tmp_path: Path, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = AdapterStore(database, LocalBlobs(tmp_path / "data" / "adapters"))
    monkeypatch.setattr(STEPS[step], killed)
    with pytest.raises(Killed):
        add(store, source)
    monkeypatch.undo()
    assert store.list("acme") == []
    AdapterStore(database, LocalBlobs(tmp_path / "data" / "adapters"))
    assert stored_folders(tmp_path) == []


def test_leftovers_are_swept_and_folders_in_use_stay(
    store: AdapterStore, tmp_path: Path, database: Engine
) -> None:
    adapters = tmp_path / "data" / "adapters"
    for name in (".incoming/left", ".drafts/00000000-0000-4000-8000-000000000000"):
        (adapters / name).mkdir(parents=True)
        (adapters / name / "adapter_model.safetensors").write_bytes(b"half")
    with store.blobs.staged() as held:
        (held / "adapter_model.safetensors").write_bytes(b"half")
        AdapterStore(database, LocalBlobs(tmp_path / "data" / "adapters"))
        assert list((adapters / ".incoming").iterdir()) == [held]
    AdapterStore(database, LocalBlobs(tmp_path / "data" / "adapters"))
    assert not list((adapters / ".incoming").iterdir())
    assert not list((adapters / ".drafts").iterdir())


ENDLESS = """
import sys
from pathlib import Path
from app.adapters.local_blobs import LocalBlobs
from app.adapters.local_blobs import LocalBlobs
from app.adapters.store import AdapterStore
from app.database.opening import open_database
from tests.adapters.make import TINY
data, source = Path(sys.argv[1]), Path(sys.argv[2])
store = AdapterStore(open_database(f"sqlite:///{data / 'outworker.db'}"), LocalBlobs(data / "adapters"))
print("ready", flush=True)
while True:
    for name in ("one", "two"):
        store.add("acme", name, "m", "w", source, TINY)
    for name in ("one", "two"):
        store.remove("acme", name)
"""


@pytest.mark.soak
def test_killed_processes_leave_no_half_adapter(
    times: Callable[[int], int], source: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for point in range(times(200)):
        with subprocess.Popen(
            [sys.executable, "-c", ENDLESS, str(data), str(source)], cwd=ROOT, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(0.0011 + 0.0073 * (point % 5) + 0.00017 * point)
            process.send_signal(signal.SIGKILL)
        _assert_whole(data)


def _assert_whole(data: Path) -> None:
    """Each visible row has both files, each stored folder has a row, and everything can be added again."""
    database = open_database(f"sqlite:///{data / 'outworker.db'}")
    store = AdapterStore(database, LocalBlobs(data / "adapters"))
    visible = store.list("acme")
    assert all(store.files_present(adapter) for adapter in visible)
    assert row_count(database) == len(visible)
    on_disk = {path.name for path in (data / "adapters").glob("acme/*")}
    assert on_disk == {adapter.digest for adapter in visible}
    for adapter in visible:
        store.remove("acme", adapter.id)
    database.dispose()
