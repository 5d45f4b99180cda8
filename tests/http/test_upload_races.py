"""Uploads that meet: each other, the hourly look at drafts, a deletion, a process that ends between two steps."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event, update

from app.adapters import rows, sealing
from app.adapters.lifecycle import Finetunes
from app.adapters.local_blobs import LocalBlobs
from app.adapters.maintenance import tend_once
from app.adapters.sealing import adapter_digest
from app.adapters.store import AdapterStore
from app.database.opening import open_database
from app.database.tables import ADAPTERS
from app.inference.prompt import PromptBuilder
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.server.stores import stores_of
from app.settings import Settings
from tests.adapters.make import TINY, good
from tests.http.forms import files_of
from tests.http.uploads import BASES, Uploads, left_in, told, uploads_to

pytestmark = pytest.mark.anyio

GOOD = files_of(good())
CONFIG, WEIGHTS = GOOD[CONFIG_FILE], GOOD[WEIGHTS_FILE]
OTHER_WEIGHTS = files_of(good(("k_proj",)))[WEIGHTS_FILE]
MEETING_S = 0.5


@pytest.fixture
async def local(settings: Settings, prompts: PromptBuilder, tmp_path: Path) -> AsyncIterator[Uploads]:
    async with uploads_to(settings, prompts, tmp_path / "base") as client:
        yield client


@pytest.fixture
def data_dir(settings: Settings) -> Path:
    return settings.server.data_dir


async def both(local: Uploads, named: str) -> list[httpx.Response]:
    return list(await asyncio.gather(*(local.send(named, *asset) for asset in GOOD.items())))


def assert_one_completed(answers: list[httpx.Response]) -> None:
    """Both are in; the answer to one of them, or to both, is the verdict: nobody is told that something failed."""
    assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
    states = {answer.json()["result"]["state"] for answer in answers}
    assert "ready" in states
    assert states <= {"ready", "unfinished", "checking"}


async def test_both_assets_at_once(local: Uploads, data_dir: Path) -> None:
    for number in range(10):
        new = await local.create(f"n{number}")
        assert_one_completed(await both(local, new))
        assert (await local.show(new))["state"] == "ready"
    assert left_in(data_dir) == set()


async def test_both_assets_at_once_at_the_worst_moment(
    local: Uploads, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each upload goes on only when the other has stored its asset too."""
    new = await local.create("mine")
    barrier = threading.Barrier(2)
    locked = LocalBlobs.lock

    @contextmanager
    def lock(self: LocalBlobs) -> Iterator[None]:
        with locked(self):
            yield
        with suppress(threading.BrokenBarrierError):
            barrier.wait(MEETING_S)

    monkeypatch.setattr(LocalBlobs, "lock", lock)
    answers = await both(local, new)
    monkeypatch.undo()
    assert_one_completed(answers)
    assert (await local.show(new))["state"] == "ready"
    assert left_in(data_dir) == set()


async def test_the_hourly_look_leaves_what_is_being_checked(
    local: Uploads, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is first, the sender of the second asset hears the verdict."""
    new = await local.create("mine")
    assert (await local.send(new, CONFIG_FILE, CONFIG)).status_code == 200
    checking, go_on = threading.Event(), threading.Event()
    inspected = sealing.inspect_staged

    def inspect(*arguments: Any) -> Any:
        if threading.current_thread().name.startswith("upload"):
            checking.set()
            go_on.wait(5)
        return inspected(*arguments)

    monkeypatch.setattr(sealing, "inspect_staged", inspect)
    sending = asyncio.create_task(local.send(new, WEIGHTS_FILE, WEIGHTS))
    try:
        assert await asyncio.to_thread(checking.wait, 5)
        # It may wait until the other check has ended, or leave the draft alone.
        tending = asyncio.create_task(asyncio.to_thread(tend_once, local.finetunes(), BASES))
        await asyncio.wait([tending], timeout=MEETING_S)
    finally:
        go_on.set()
    answer = await sending
    await tending
    assert answer.status_code == 200, answer.text
    assert answer.json()["result"]["state"] == "ready"
    assert (await local.show(new))["state"] == "ready"
    assert left_in(data_dir) == set()


async def test_what_a_deletion_answered_is_gone(
    local: Uploads, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It became ready between the look for it and its removal."""
    finetunes = local.served.stores.finetunes
    new = await local.create("mine")
    draft = complete(finetunes, new)
    removed = Finetunes._remove

    def remove(self: Finetunes, gone: Any) -> bool:
        if gone == draft:
            self.finish(draft, TINY)
        return removed(self, gone)

    monkeypatch.setattr(Finetunes, "_remove", remove)
    answer = await local.call("DELETE", local.path(new))
    monkeypatch.undo()
    after = await local.call("GET", local.path(new))
    if answer.status_code == 200:
        assert after.status_code == 404, after.text
        assert told(after) == (404, 5033)
        assert left_in(data_dir) == set()
    else:
        assert after.json()["result"]["state"] == "ready"


def complete(finetunes: Finetunes, draft_id: str) -> Any:
    """The draft with both assets in, unchecked: as a server leaves it that was killed."""
    draft = finetunes.store.draft("local", draft_id)
    assert draft is not None
    for file_name, data in GOOD.items():
        with finetunes.asset_file(0, 0) as received:
            received.write(data)
            draft = finetunes.put(draft, file_name, received)
    return draft


@pytest.mark.parametrize(
    ("ask", "read"), [("the list", "finetunes"), ("its id", "finetune"), ("a run", "finetune")]
)
async def test_becoming_ready_is_no_gap(
    ask: str, read: str, local: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a draft before and an adapter after: never neither, never both."""
    finetunes = local.served.stores.finetunes
    new = await local.create("mine")
    draft = complete(finetunes, new)
    meanwhile = iter([lambda: finetunes.finish(draft, TINY)])

    def then_ready(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            found = function(*arguments, **options)
            next(meanwhile, lambda: None)()
            return found

        return call

    monkeypatch.setattr(AdapterStore, read, then_ready(getattr(AdapterStore, read)))
    if ask == "the list":
        listed = (await local.call("GET", local.path())).json()["result"]
        assert [finetune["id"] for finetune in listed] == [new]
    elif ask == "its id":
        assert (await local.show(new))["state"] in ("checking", "ready")
    else:
        answer = await local.run(new)
        assert answer.status_code == 200 or told(answer) == (429, 3040), answer.text


class Killed(BaseException):
    pass


def killed(*_: Any, **__: Any) -> Any:
    raise Killed


async def test_killed_between_the_file_and_its_row(
    local: Uploads, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights sent a second time, and the end comes before the row says so: the digest must be that of the bytes."""
    new = await local.create("mine")
    assert (await local.send(new, WEIGHTS_FILE, OTHER_WEIGHTS)).status_code == 200
    finetunes = local.served.stores.finetunes
    draft = finetunes.store.draft("local", new)
    assert draft is not None
    monkeypatch.setattr(rows, "put_asset", killed)
    with finetunes.asset_file(0, 0) as received:
        received.write(WEIGHTS)
        with pytest.raises(Killed):
            finetunes.put(draft, WEIGHTS_FILE, received)
    monkeypatch.undo()
    stores_of(settings)  # the next start
    if WEIGHTS_FILE not in (await local.show(new))["assets"]:
        assert (await local.send(new, WEIGHTS_FILE, WEIGHTS)).status_code == 200
    answer = await local.send(new, CONFIG_FILE, CONFIG)
    stored = local.served.stores.adapters.find("local", new)
    if stored is None:  # the old weights, which are not the configuration's
        assert told(answer) == (400, 3030)
        return
    config, weights = ((stored.folder / name).read_bytes() for name in GOOD)
    assert stored.digest == adapter_digest(config, hashlib.sha256(weights).hexdigest())


@pytest.mark.parametrize("step", ["put_asset", "commit"])
async def test_a_disk_that_fails_for_a_moment(
    step: str, local: Uploads, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """507, and then either the sender can go on or the hourly look makes it ready."""
    new = await local.create("mine")
    assert (await local.send(new, CONFIG_FILE, CONFIG)).status_code == 200

    def fails(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device", str(data_dir))

    monkeypatch.setattr(LocalBlobs, step, fails)
    assert told(await local.send(new, WEIGHTS_FILE, WEIGHTS)) == (507, 5092)
    monkeypatch.undo()
    if (await local.show(new))["state"] == "unfinished":
        assert (await local.send(new, WEIGHTS_FILE, WEIGHTS)).status_code == 200
    tend_once(local.finetunes(), BASES)
    assert (await local.show(new))["state"] == "ready"
    assert left_in(data_dir) == set()


async def test_a_database_that_is_full(local: Uploads) -> None:
    """The data directory's disk can't take the row: the same clear answer as for files, and reading goes on."""
    new = await local.create("mine")
    engine = open_database(f"sqlite:///{local.served.settings.server.data_dir / 'outworker.db'}")
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    engine.dispose()
    pool = local.served.stores.finetunes.store.engine
    full: Callable[..., None] = lambda connection, *_: connection.execute(f"PRAGMA max_page_count={pages}")  # noqa: E731
    event.listen(pool, "checkout", full)
    refused = None
    for number in range(60):
        body = {
            "model": "@hf/mistral/mistral-7b-instruct-v0.2",
            "name": f"n{number}",
            "description": "x" * 2000,
        }
        answer = await local.call("POST", local.path(), json=body)
        if answer.status_code != 200:
            refused = answer
            break
    event.remove(pool, "checkout", full)
    assert refused is not None
    assert told(refused) == (507, 5092)
    assert (await local.show(new))["state"] == "unfinished"


async def test_weights_that_are_served_no_more(local: Uploads) -> None:
    """The finetune was created before the server was started with other weights."""
    finetunes = local.served.stores.finetunes
    draft = finetunes.create("local", "old", "@cf/old", "other-weights")
    assert (await local.send(draft.id, CONFIG_FILE, CONFIG)).status_code in (200, 400)
    answer = await local.send(draft.id, WEIGHTS_FILE, WEIGHTS)
    if answer.status_code != 200:
        assert told(answer)[0] < 500
    else:
        assert answer.json()["result"]["state"] == "checking"


async def test_what_was_acknowledged_is_decided_however_late_the_next_start(local: Uploads) -> None:
    """Expiry is for those who never sent the other asset."""
    finetunes = local.served.stores.finetunes
    new = await local.create("mine")
    complete(finetunes, new)
    yesterday = (datetime.now(UTC) - timedelta(hours=25)).isoformat(timespec="milliseconds")
    with finetunes.store.engine.begin() as connection:
        connection.execute(update(ADAPTERS).values(modified_at=yesterday))
    tend_once(local.finetunes(), BASES)
    assert (await local.show(new))["state"] == "ready"
