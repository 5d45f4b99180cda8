"""The client against the server of this project, and the bytes that it sends."""

import asyncio
import tracemalloc
from collections.abc import Callable
from email import message_from_bytes, policy
from pathlib import Path
from typing import TypeVar

import pytest

from app.cli.api_client import FinetunesClient
from app.cli.api_responses import ServerRefused
from app.settings import CHECKOUT
from tests.cli.raw import ok, raw_server
from tests.conftest import HF, Serve, Served

PIRATE = CHECKOUT / "adapters" / "pirate"
CONFIG, WEIGHTS = PIRATE / "adapter_config.json", PIRATE / "adapter_model.safetensors"
T = TypeVar("T")


async def use(served: Served, work: Callable[[FinetunesClient], T], token: str = "") -> T:
    """Run `work` in a thread, while this loop serves."""

    def run() -> T:
        with FinetunesClient(served.url, "local", token or served.token) as client:
            return work(client)

    return await asyncio.to_thread(run)


def ignore(count: int) -> None:
    """No progress to show."""


@pytest.mark.anyio
async def test_from_create_to_delete(serve: Serve) -> None:
    sent: list[int] = []

    def upload(client: FinetunesClient) -> None:
        draft = client.create(model=HF, name="captain", description="Ahoy ☠", public=True)
        assert (draft.name, draft.model, draft.state, draft.public) == ("captain", HF, "unfinished", True)
        assert client.upload_asset(draft.id, CONFIG, sent.append).state == "unfinished"
        assert client.upload_asset("captain", WEIGHTS, sent.append).state == "ready"
        [listed] = client.list()
        shown = client.show(draft.id)
        assert shown == client.show("captain")
        assert (listed.id, listed.name, listed.state) == (draft.id, "captain", "ready")
        assert (shown.description, shown.rank, shown.findings) == ("Ahoy ☠", 16, ())
        assert shown.created_at
        assert shown.modified_at

    async with serve() as served:
        await use(served, upload)
        assert sum(sent) == CONFIG.stat().st_size + WEIGHTS.stat().st_size
        assert (await served.run({"prompt": "a", "lora": "captain"})).status_code == 200
        await use(served, lambda client: client.delete("captain"))
        assert await use(served, lambda client: client.list()) == []


@pytest.mark.anyio
async def test_notes_and_findings_of_an_inspection(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / WEIGHTS.name).write_bytes(WEIGHTS.read_bytes()[:-8])

    def upload(client: FinetunesClient) -> None:
        client.create(model=HF, name="cut")
        client.upload_asset("cut", CONFIG, ignore)
        with pytest.raises(ServerRefused, match="adapter_model") as caught:
            client.upload_asset("cut", tmp_path / WEIGHTS.name, ignore)
        assert caught.value.code == 3030
        refused = client.show("cut")
        assert refused.state == "refused"
        assert refused.reason
        assert "adapter_model.safetensors" in refused.findings[0]

    async with serve() as served:
        await use(served, upload)


@pytest.mark.anyio
async def test_an_unfinished_one_can_be_deleted(serve: Serve) -> None:
    def withdraw(client: FinetunesClient) -> None:
        draft = client.create(model=HF, name="half")
        client.upload_asset(draft.id, CONFIG, ignore)
        client.delete(draft.id)
        assert client.list() == []

    async with serve() as served:
        await use(served, withdraw)


@pytest.mark.anyio
async def test_refusals_of_the_server(serve: Serve) -> None:
    def code(work: Callable[[FinetunesClient], object]) -> Callable[[FinetunesClient], int]:
        def run(client: FinetunesClient) -> int:
            with pytest.raises(ServerRefused) as caught:
                work(client)
            return caught.value.code

        return run

    async with serve() as served:
        assert await use(served, code(lambda client: client.create(model="@cf/no/such", name="n"))) == 5007
        assert await use(served, code(lambda client: client.create(model=HF, name="cf-public-n"))) == 5090
        assert await use(served, code(lambda client: client.show("nobody"))) == 5033
        assert await use(served, code(lambda client: client.delete("nobody"))) == 5033
        wrong = "ow_" + "x" * 43
        assert await use(served, code(lambda client: client.list()), wrong) == 10000


@pytest.mark.anyio
async def test_a_file_over_the_limit_hears_why(serve: Serve, tmp_path: Path) -> None:
    """The server refuses after the first bytes; its answer must not be lost while the others are on their way."""
    path = tmp_path / CONFIG.name
    with path.open("wb") as file:
        file.truncate(20_000_000)

    def upload(client: FinetunesClient) -> int:
        client.create(model=HF, name="large")
        with pytest.raises(ServerRefused, match="64000") as caught:
            client.upload_asset("large", path, ignore)
        return caught.value.code

    async with serve() as served:
        assert await use(served, upload) == 3006


def test_the_form_that_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "adapter_config.json"
    path.write_bytes(b'{"r": 8}\r\n--')
    with raw_server(ok({"state": "ready"}, "a note")) as server:
        with FinetunesClient(server.url, "local", "ow_t") as client:
            upload = client.upload_asset("captain", path, ignore)
        [request] = server.requests
    assert (upload.state, upload.notes) == ("ready", ("a note",))
    assert request.line == "POST /client/v4/accounts/local/ai/finetunes/captain/finetune-assets HTTP/1.1"
    assert "authorization: bearer ow_t\r\n" in request.head.lower()
    form = message_from_bytes(request.head.partition("\r\n")[2].encode() + request.body, policy=policy.HTTP)
    parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
    assert parts["file_name"].get_payload(decode=True) == b"adapter_config.json"
    assert parts["file"].get_payload(decode=True) == b'{"r": 8}\r\n--'
    assert parts["file"].get_filename() == "adapter_config.json"


def test_only_what_was_chosen_is_in_the_body_of_create() -> None:
    with raw_server(ok({"id": "1", "name": "n", "model": "m"})) as server:
        with FinetunesClient(server.url, "local", "ow_t") as client:
            draft = client.create(model="m", name="n")
            client.create(model="m", name="n", description="é", public=True, replace=True)
        bodies = [request.body for request in server.requests]
    assert draft.state == "ready", "the hosted service tells no state"
    assert bodies[0] == b'{"model": "m", "name": "n"}'
    assert b'"description": "\\u00e9", "public": true, "replace": true' in bodies[1]


def test_a_file_is_never_whole_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "adapter_model.safetensors"
    with path.open("wb") as file:
        file.truncate(20_000_000)
    pieces: list[int] = []
    with raw_server(ok({})) as server, FinetunesClient(server.url, "local", "ow_t") as client:
        tracemalloc.start()
        client.upload_asset("n", path, pieces.append)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert sum(pieces) == 20_000_000
    assert max(pieces) <= 65_536
    assert peak_bytes < 5_000_000
