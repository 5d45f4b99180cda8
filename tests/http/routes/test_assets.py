"""POST …/finetune-assets over a real server: who may send what where, and what a bad upload leaves: nothing."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.adapters import asset_file
from app.adapters.maintenance import tend_once
from app.inference.prompt import PromptBuilder
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.settings import Settings
from tests.adapters.make import good
from tests.http.forms import (
    CONTENT_TYPE,
    asset_form,
    asset_parts,
    asset_start,
    disposition,
    files_of,
    form,
)
from tests.http.uploads import (
    BASES,
    Uploads,
    answered,
    chunked,
    connection,
    left_in,
    said,
    stored,
    told,
    until,
    uploads_to,
)

pytestmark = pytest.mark.anyio

Uploading = Callable[..., AbstractAsyncContextManager[Uploads]]
GOOD = files_of(good())
CONFIG, WEIGHTS = GOOD[CONFIG_FILE], GOOD[WEIGHTS_FILE]
NAMES = (CONFIG_FILE, WEIGHTS_FILE)


@pytest.fixture
def uploading(settings: Settings, prompts: PromptBuilder, tmp_path: Path) -> Uploading:
    return lambda **limits: uploads_to(settings, prompts, tmp_path / "base", **limits)


@pytest.fixture
async def local(uploading: Uploading) -> AsyncIterator[Uploads]:
    async with uploading() as client:
        yield client


@pytest.fixture
def data_dir(settings: Settings) -> Path:
    return settings.server.data_dir


@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]])
@pytest.mark.parametrize("file_first", [False, True])
@pytest.mark.parametrize("end", ["", "/"])
async def test_either_order_makes_it_ready(
    order: tuple[str, str], file_first: bool, end: str, local: Uploads, data_dir: Path
) -> None:
    new = await local.create("mine")
    states = []
    for file_name in order:
        parts = asset_parts(file_name, GOOD[file_name])
        body = form(parts[::-1] if file_first else parts)
        path = local.path("mine" if file_first else new, "/finetune-assets" + end)
        answer = await local.call("POST", path, content=body, headers={"content-type": CONTENT_TYPE})
        assert answer.status_code == 200, answer.text
        result = answer.json()["result"]
        assert (result["finetune_id"], result["file_name"], result["bucket_name"]) == (
            new,
            file_name,
            "adapters",
        )
        assert set(result) == {
            "id", "finetune_id", "file_name", "bucket_name", "created_at", "modified_at", "state"
        }  # fmt: skip
        states.append(result["state"])
    assert states == ["unfinished", "ready"]
    assert (await local.show(new))["state"] == "ready"
    assert (await local.run("mine")).json()["result"]["response"].startswith("[mine] ")
    stored = local.served.stores.adapters.find("local", new)
    assert stored is not None
    assert (stored.folder / WEIGHTS_FILE).read_bytes() == WEIGHTS
    assert left_in(data_dir) == set()


FILE, NAME = (disposition("file"), CONFIG), (disposition("file_name"), CONFIG_FILE.encode())
OTHER = (disposition("other"), b"x")
WHOLE = asset_form(CONFIG_FILE, CONFIG)
NO_FORM = "multipart/form-data with the parts file_name and file"


@pytest.mark.parametrize(
    ("body", "content_type", "phrase"),
    [
        (WHOLE, None, NO_FORM),
        (WHOLE, "application/json", NO_FORM),
        (WHOLE, "multipart/form-data", NO_FORM),
        (WHOLE, "multipart/form-data; boundary=", NO_FORM),
        (WHOLE, "multipart/form-data; boundary=other", NO_FORM),
        (form([NAME, FILE], b"b" * 1000), f"multipart/form-data; boundary={'b' * 1000}", NO_FORM),
        (b"", CONTENT_TYPE, "the part file_name and the part file of a"),
        (b"{}", CONTENT_TYPE, NO_FORM),
        (b"\0" * 100_000, CONTENT_TYPE, NO_FORM),
        (form([NAME]), CONTENT_TYPE, "the part file of a"),
        (form([FILE]), CONTENT_TYPE, "the part file_name of a"),
        (form([NAME, FILE, FILE]), CONTENT_TYPE, "each once"),
        (form([NAME, FILE], end=b""), CONTENT_TYPE, "closing boundary"),
        (form([NAME, FILE], end=b"--")[:-1], CONTENT_TYPE, "closing boundary"),
        (form([*[OTHER] * 16, NAME, FILE]), CONTENT_TYPE, "at most 16 parts"),
        (asset_form("x" * 257, CONFIG), CONTENT_TYPE, "file_name must have at most 256 bytes"),
        (form([(b"X: " + b"y" * 100_000, b""), NAME, FILE]), CONTENT_TYPE, NO_FORM),
    ],
)
async def test_what_is_no_form(
    body: bytes, content_type: str | None, phrase: str, local: Uploads, data_dir: Path
) -> None:
    new = await local.create("mine")
    answer = await local.post(new, body, content_type)
    assert told(answer) == (400, 3003)
    assert phrase in said(answer)
    assert left_in(data_dir) == set()
    assert (await local.show(new))["assets"] == []


@pytest.mark.parametrize(
    "file_name",
    [
        b"",
        b"config.json",
        b"ADAPTER_CONFIG.JSON",
        b"../adapter_config.json",
        b"/etc/passwd",
        b"./adapter_config.json",
        b"adapter_config.json/",
        b"adapter_config.json\0",
        b"adapter_config.json\0.safetensors",
        b"adapter_model.bin",
        b"adapter_model.safetensors.index.json",
        b"a\x1b[31m\r\nb",
        b"\xff\xfe\x00",
        "adapter_config.j\u202eson".encode(),
        b"x" * 256,
    ],
)
async def test_only_two_file_names(file_name: bytes, local: Uploads, data_dir: Path) -> None:
    new = await local.create("mine")
    answer = await local.post(new, asset_form(file_name, CONFIG))
    assert told(answer) == (400, 5006)
    assert f"not in {CONFIG_FILE},{WEIGHTS_FILE} at '/file_name'" in said(answer)
    assert len(said(answer)) < 400
    assert left_in(data_dir) == set()


async def test_a_configuration_has_at_most_64_000_bytes(local: Uploads, data_dir: Path) -> None:
    new = await local.create("mine")
    answer = await local.send(new, CONFIG_FILE, CONFIG.ljust(64_001))
    assert told(answer) == (413, 3006)
    assert "adapter_config.json must have at most 64000 bytes" in said(answer)
    assert left_in(data_dir) == set()
    assert (await local.send(new, CONFIG_FILE, CONFIG.ljust(64_000))).status_code == 200
    assert (await local.send(new, WEIGHTS_FILE, WEIGHTS)).json()["result"]["state"] == "ready"


async def test_a_declared_length_over_the_limit_is_refused_before_a_byte_is_sent(local: Uploads) -> None:
    new = await local.create("mine")
    async with local.connected(new, 300_200_000, "expect: 100-continue") as (reader, _):
        answer = await answered(reader)
        assert told(answer) == (413, 3006)
        assert "the file must have fewer than 300000000 bytes" in said(answer)
        assert await reader.read() == b""


async def test_who_sends_too_much_without_asking_hears_why(
    local: Uploads, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.http.routes.assets.WEIGHTS_FILE_LIMIT_BYTES", 1_000_000)
    new = await local.create("mine")
    answer = await local.send(new, WEIGHTS_FILE, b"x" * 20_000_000)
    assert told(answer) == (413, 3006)
    assert left_in(data_dir) == set()


async def test_the_limit_holds_without_a_declared_length(
    local: Uploads, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asset_file, "WEIGHTS_FILE_LIMIT_BYTES", 1_000_000)
    new = await local.create("mine")
    for size in (1_000_000, 30_000_000):
        answer = await local.post(new, chunked(WEIGHTS_FILE, b"x" * size))
        assert told(answer) == (413, 3006)
        assert "the file must have fewer than 1000000 bytes" in said(answer)
        assert left_in(data_dir) == set()
    answer = await local.post(new, chunked(WEIGHTS_FILE, b"x" * 999_999))
    assert (answer.status_code, answer.json()["result"]["state"]) == (200, "unfinished")
    assert left_in(data_dir) == {stored(new, b"x" * 999_999)}


@pytest.mark.parametrize(
    "named", ["nothing", "00000000-0000-4000-8000-000000000000", "public", "a%00b", "o%25", "x" * 3000]
)
async def test_unknown_ones(named: str, local: Uploads) -> None:
    answer = await local.send(named, CONFIG_FILE, CONFIG)
    assert told(answer) == (404, 5033)
    assert "does not exist or is not accessible" in said(answer)


async def raw_status(local: Uploads, path: str) -> tuple[int, int]:
    """Status and code for a path that no client library would send."""
    async with connection(local.served.url) as (reader, writer):
        writer.write(local.head(path, f"content-length: {len(WHOLE)}") + WHOLE)
        answer = await answered(reader)
    return answer.status_code, answer.json()["errors"][0]["code"]


async def test_paths_in_the_place_of_an_id(local: Uploads, data_dir: Path) -> None:
    await local.create("mine")
    base = local.path()
    for named in (
        "%2e%2e%2f%2e%2e",
        "..%2fmine",
        "..%5cmine",
        "%2fetc%2fpasswd",
        "mine%2f..%2fmine",
        "%00",
        ".",
    ):
        status, code = await raw_status(local, f"{base}/{named}/finetune-assets")
        assert (status, code) in {(404, 5033), (404, 7003), (400, 7000)}, named
    for path in (f"{base}/../finetunes/mine/finetune-assets", f"{base}//finetune-assets"):
        status, code = await raw_status(local, path)
        assert (status, code) in {(404, 5033), (404, 7003), (400, 7000)}, path
    assert left_in(data_dir) == set()
    assert (await local.show("mine"))["assets"] == []


async def test_other_accounts_are_out_of_reach(local: Uploads, data_dir: Path) -> None:
    """Unfinished, ready, public: to another account all are as good as absent."""
    open_one = await local.create("open", public=True)
    ready = await local.ready("ready", public=True)
    stranger = local.other("stranger")
    before = left_in(data_dir)
    for named in (open_one, "open", ready, "ready"):
        assert told(await stranger.send(named, CONFIG_FILE, CONFIG)) == (404, 5033)
    trespass = Uploads(local.served, "local", stranger.token)
    answer = await trespass.send(open_one, CONFIG_FILE, CONFIG)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, 10000)
    assert left_in(data_dir) == before
    assert (await local.show(open_one))["assets"] == []


async def test_tokens_that_only_read(local: Uploads, data_dir: Path) -> None:
    new = await local.create("mine")
    reader = local.other("local", "ai:read")
    answer = await reader.send(new, CONFIG_FILE, CONFIG)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, 10000)
    assert left_in(data_dir) == set()


async def test_nothing_replaces_assets_once_both_are_in(local: Uploads, data_dir: Path) -> None:
    ready = await local.ready("ready")
    answer = await local.send(ready, CONFIG_FILE, CONFIG)
    assert told(answer) == (400, 5091)
    assert "ready is ready and its assets can't be replaced: create a new finetune" in said(answer)

    refused = await local.create("refused")
    assert (await local.send(refused, CONFIG_FILE, b"{}")).status_code == 200
    assert told(await local.send(refused, WEIGHTS_FILE, WEIGHTS)) == (400, 3030)
    answer = await local.send(refused, CONFIG_FILE, CONFIG)
    assert told(answer) == (400, 5091)
    assert "refused was refused: create it again. The reason was: adapter_config.json: " in said(answer)
    assert left_in(data_dir) == set()


async def test_one_that_is_being_checked_takes_no_asset(local: Uploads, data_dir: Path) -> None:
    """As a killed server leaves it: both assets in, and no verdict."""
    finetunes = local.served.stores.finetunes
    new = await local.create("mine")
    draft = finetunes.store.draft("local", new)
    assert draft is not None
    for file_name, data in GOOD.items():
        with finetunes.asset_file(0, 0) as received:
            received.write(data)
            finetunes.put(draft, file_name, received)
    assert (await local.show(new))["state"] == "checking"
    answer = await local.send(new, CONFIG_FILE, b"{}")
    assert told(answer) == (400, 5091)
    assert "has both its assets, which can't be replaced: create it again" in said(answer)
    answer = await local.run("mine")
    assert told(answer) == (429, 3040)
    assert int(answer.headers["retry-after"]) >= 1
    assert len(left_in(data_dir)) == 2


async def test_an_asset_may_be_sent_again_while_the_other_is_missing(local: Uploads, data_dir: Path) -> None:
    new = await local.create("mine")
    assert (await local.send(new, CONFIG_FILE, b"{}")).status_code == 200
    assert (await local.send(new, CONFIG_FILE, CONFIG)).status_code == 200
    assert left_in(data_dir) == {stored(new, CONFIG)}
    assert (await local.send(new, WEIGHTS_FILE, WEIGHTS)).json()["result"]["state"] == "ready"


async def test_the_same_asset_twice_at_once(local: Uploads, data_dir: Path) -> None:
    new = await local.create("mine")
    sent = [CONFIG, CONFIG + b" ", CONFIG + b"  ", CONFIG + b"   "]
    answers = await asyncio.gather(*(local.send(new, CONFIG_FILE, data) for data in sent))
    assert [answer.status_code for answer in answers] == [200] * 4
    (left,) = left_in(data_dir)
    assert left in {stored(new, data) for data in sent}
    assert (await local.send(new, WEIGHTS_FILE, WEIGHTS)).json()["result"]["state"] == "ready"


async def test_too_many_uploads_at_once(uploading: Uploading, data_dir: Path) -> None:
    body = asset_form(CONFIG_FILE, CONFIG)
    async with uploading(max_uploads=2) as local, AsyncExitStack() as stack:
        news = [await local.create(name) for name in "abc"]
        held = [await stack.enter_async_context(local.connected(new, len(body))) for new in news[:2]]
        for _, writer in held:
            writer.write(body[:-1])
        await until(lambda: len(left_in(data_dir)) == 2)
        answer = await local.send(news[2], CONFIG_FILE, CONFIG)
        assert told(answer) == (429, 3040)
        assert "2 uploads are running, which is the most at once" in said(answer)
        assert int(answer.headers["retry-after"]) >= 1
        assert (await local.show(news[2]))["assets"] == []  # other requests go on
        for reader, writer in held:
            writer.write(body[-1:])
            assert (await answered(reader)).status_code == 200
        assert (await local.send(news[2], CONFIG_FILE, CONFIG)).status_code == 200


async def test_a_sender_who_stops(uploading: Uploading, data_dir: Path) -> None:
    async with uploading(max_uploads=1, slow_sender_s=0.2) as local:
        new = await local.create("mine")
        assert (await local.send(new, CONFIG_FILE, CONFIG)).status_code == 200
        async with local.connected(new, 1_000_000) as (reader, writer):
            writer.write(asset_start(WEIGHTS_FILE) + WEIGHTS[:1000])
            answer = await answered(reader)
        assert told(answer) == (408, 3007)
        assert "0.2 s" in said(answer)
        assert left_in(data_dir) == {stored(new, CONFIG)}
        assert (await local.send(new, WEIGHTS_FILE, WEIGHTS)).json()["result"]["state"] == "ready"


@asynccontextmanager
async def dripping(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """A byte now and then, for ever."""

    async def drip() -> None:
        with suppress(ConnectionError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)

    task = asyncio.create_task(drip())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("start", "length", "refusals"),
    [
        (asset_start(WEIGHTS_FILE), 1_000_000, {(408, 3007)}),
        # Refused at once, and what still comes is thrown away: that must not hold the place for ever.
        (b"no form at all" * 50_000, 250_000_000, {(400, 3003), (408, 3007)}),
        (b"", 400_000_000, {(413, 3006), (408, 3007)}),
    ],
    ids=["a file", "no form", "too large"],
)
async def test_a_sender_who_never_ends(
    start: bytes, length: int, refusals: set[tuple[int, int]], uploading: Uploading, data_dir: Path
) -> None:
    """The deadline ends every upload, whatever it turned out to be."""
    async with uploading(max_uploads=1, slow_sender_s=5, upload_deadline_s=0.5) as local:
        new = await local.create("mine")
        async with local.connected(new, length) as (reader, writer):
            writer.write(start)
            async with dripping(writer):
                assert told(await answered(reader)) in refusals
                assert left_in(data_dir) == set()
                assert (await local.send(new, CONFIG_FILE, CONFIG)).status_code == 200


async def test_a_client_that_leaves_midway(uploading: Uploading, data_dir: Path) -> None:
    async with uploading(max_uploads=1) as local:
        new = await local.create("mine")
        assert (await local.send(new, CONFIG_FILE, CONFIG)).status_code == 200
        for sent in (0, 1000, 2_000_000):
            async with local.connected(new, 10_000_000) as (_, writer):
                writer.write(asset_start(WEIGHTS_FILE) + b"x" * sent)
                await writer.drain()
                await until(lambda: len(left_in(data_dir)) > 1)
            await until(lambda: left_in(data_dir) == {stored(new, CONFIG)})
        # The place is free a moment after the folder is gone.
        while (answer := await local.send(new, WEIGHTS_FILE, WEIGHTS)).status_code == 429:
            await asyncio.sleep(0.01)
        assert answer.json()["result"]["state"] == "ready"


async def test_deleted_while_the_bytes_arrive(local: Uploads, data_dir: Path) -> None:
    new = await local.create("mine")
    body = asset_form(CONFIG_FILE, CONFIG)
    async with local.connected(new, len(body)) as (reader, writer):
        writer.write(body[:-1])
        await until(lambda: len(left_in(data_dir)) == 1)
        gone = await local.call("DELETE", local.path(new))
        assert gone.json()["result"] == {"id": new, "name": "mine"}
        writer.write(body[-1:])
        answer = await answered(reader)
    assert told(answer) == (400, 5091)
    assert "deleted meanwhile: create it again" in said(answer)
    assert left_in(data_dir) == set()
    assert not list((data_dir / "adapters" / ".drafts").glob("*"))


def less_room(monkeypatch: pytest.MonkeyPatch, free: Callable[[], int]) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 10**12, free()))


async def test_the_disks_floor(
    local: Uploads, data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    new = await local.create("mine")
    assert (await local.send(new, CONFIG_FILE, CONFIG)).status_code == 200
    floor = local.served.settings.limits.min_free_bytes
    less_room(monkeypatch, lambda: floor + 1000)
    answer = await local.send(new, WEIGHTS_FILE, WEIGHTS)
    assert told(answer) == (507, 5092)
    assert "disk has no room for it; delete adapters, or ask the server's operator" in said(answer)
    figures = said(answer).rpartition("(")[0]
    assert not re.search(r"\d", figures), "how large the disk is is the operator's business"
    assert f"{floor + 1000} bytes are free, of which {floor} are kept" in caplog.text
    assert left_in(data_dir) == {stored(new, CONFIG)}
    monkeypatch.undo()
    assert (await local.send(new, WEIGHTS_FILE, WEIGHTS)).json()["result"]["state"] == "ready"


async def test_the_disk_fills_while_the_bytes_arrive(
    local: Uploads, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = await local.create("mine")
    room = iter([10**10] * 3 + [0] * 100)
    less_room(monkeypatch, lambda: next(room))
    answer = await local.post(new, chunked(WEIGHTS_FILE, b"x" * 60_000_000, 1_000_000))
    assert told(answer) == (507, 5092)
    assert left_in(data_dir) == set()


@pytest.mark.parametrize(
    ("module", "call"),
    [("asset_file", "open"), ("asset_file", "fsync"), ("local_blobs", "open"), ("sealing", "fsync")],
)
async def test_a_disk_that_fails(
    module: str, call: str, local: Uploads, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`local_blobs` opens when the folder is made, `sealing` syncs when the adapter is sealed."""
    new = await local.create("mine")
    assert (await local.send(new, CONFIG_FILE, CONFIG)).status_code == 200

    def fails(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device", str(data_dir / "adapters" / "x"))

    failing = SimpleNamespace(**{**vars(os), call: fails})
    monkeypatch.setattr(f"app.adapters.{module}.os", failing)
    answer = await local.send(new, WEIGHTS_FILE, WEIGHTS)
    monkeypatch.undo()
    assert told(answer) == (507, 5092)
    assert "No space left on device; check room and permissions of the data directory" in said(answer)
    after = await local.show(new)
    if after["state"] == "checking":  # both were in before it failed
        tend_once(local.finetunes(), BASES)
    else:
        assert left_in(data_dir) == {stored(new, CONFIG)}
        assert (await local.send(new, WEIGHTS_FILE, WEIGHTS)).status_code == 200
    assert (await local.show(new))["state"] == "ready"


async def test_the_list_of_what_may_go_wrong_says_nothing_of_this_machine(
    local: Uploads, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No permission in the data directory: the text names neither it nor the account the server runs as."""
    new = await local.create("mine")

    def denied(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(data_dir))

    monkeypatch.setattr("app.adapters.local_blobs.secrets.token_hex", denied)
    answer = await local.send(new, CONFIG_FILE, CONFIG)
    monkeypatch.undo()
    assert told(answer) == (507, 5092)
    assert str(data_dir) not in said(answer)
    assert os.fspath(data_dir.parent) not in answer.text


async def test_http_connections_live_on_after_a_refusal(local: Uploads) -> None:
    """A body that nobody wanted is read to its end, so the next request on the connection is understood."""
    big = asset_form(WEIGHTS_FILE, b"x" * 5_000_000)
    assert told(await local.post("nothing", big)) == (404, 5033)
    assert told(await local.post("nothing", big, "application/json")) == (404, 5033)
    new = await local.create("mine")
    assert told(await local.post(new, big, "application/json")) == (400, 3003)
    assert (await local.show(new))["assets"] == []
