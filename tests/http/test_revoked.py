"""app/accounts/running.py: what runs for a token ends when the token is revoked, in every dialect."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress

import httpx
import pytest

from app.accounts.running import Running
from app.engines.fake import FakeEngine
from app.errors import AuthenticationFailed
from app.types import Caller
from tests.conftest import CF, HF, Serve, Served

pytestmark = pytest.mark.anyio

ACCOUNT = "/client/v4/accounts/local"
ASK = {"max_tokens": 2000}
CHAT = {**ASK, "model": HF, "messages": [{"role": "user", "content": "a"}]}
DIALECTS = {
    "native": (f"{ACCOUNT}/ai/run/{HF}", {**ASK, "prompt": "a"}),
    "chat": (f"{ACCOUNT}/ai/v1/chat/completions", CHAT),
    "completions": (f"{ACCOUNT}/ai/v1/completions", {**ASK, "model": HF, "prompt": "a"}),
    "responses": (f"{ACCOUNT}/ai/v1/responses", {"model": HF, "input": "a", "max_output_tokens": 2000}),
    "messages": (f"{ACCOUNT}/ai/v1/messages", CHAT),
    "lora": (f"{ACCOUNT}/ai/run/{CF}", {**ASK, "prompt": "a"}),
}


def token_of(served: Served) -> tuple[str, dict[str, str]]:
    """Id and header of a new token of the same account."""
    token_id, token = served.stores.tokens.create("local", ["ai:write"])
    return token_id, {"authorization": f"Bearer {token}"}


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_run_ends_with_its_token(serve: Serve, dialect: str, stream: bool) -> None:
    engine = FakeEngine(delay_s=0.02, endless=True)
    path, body = DIALECTS[dialect]
    async with serve(engine) as served:
        token_id, headers = token_of(served)
        other = asyncio.create_task(served.client.post(path, json={**body, "stream": True}))
        asked = asyncio.create_task(
            served.client.post(path, json={**body, "stream": stream}, headers=headers)
        )
        await until(lambda: len(engine.running) == 2)
        served.stores.tokens.revoke(token_id)
        async with asyncio.timeout(5):
            answer = await asked
        if stream:
            assert answer.status_code == 200
            assert "Authentication error" in answer.text.strip().rpartition("\n\n")[2]
            assert "[DONE]" not in answer.text
        else:
            assert answer.status_code == 401
            assert answer.json()["errors"] == [{"code": 10000, "message": "Authentication error"}]
        await until(lambda: len(engine.running) == 1)
        assert not other.done()
        assert len(engine.aborted) == 1
        other.cancel()


async def test_an_upload_ends_with_its_token(serve: Serve) -> None:
    async with serve(limits={"slow_sender_s": 1}) as served:
        token_id, headers = token_of(served)
        made = await served.client.post(
            f"{ACCOUNT}/ai/finetunes", json={"model": HF, "name": "mine", "description": "x"}, headers=headers
        )
        sent = asyncio.Event()

        async def trickle() -> AsyncIterator[bytes]:
            yield b'--b\r\ncontent-disposition: form-data; name="file_name"\r\n\r\nadapter_model.safetensors\r\n'
            yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n'
            while True:
                yield b"x" * 1000
                sent.set()
                await asyncio.sleep(0.02)

        upload = asyncio.create_task(
            served.client.post(
                f"{ACCOUNT}/ai/finetunes/{made.json()['result']['id']}/finetune-assets",
                content=trickle(),
                headers={**headers, "content-type": "multipart/form-data; boundary=b"},
            )
        )
        await asyncio.wait_for(sent.wait(), 10)
        served.stores.tokens.revoke(token_id)
        async with asyncio.timeout(20):
            with suppress(httpx.TransportError):  # the server has heard enough
                assert (await upload).status_code == 401
        incoming = served.settings.server.data_dir / "adapters" / ".incoming"
        await until(lambda: not list(incoming.glob("*/asset")))


async def test_one_look_serves_all_and_none_is_made_for_nothing() -> None:
    looks: list[tuple[str, ...]] = []

    def revoked(asked: Iterable[str]) -> set[str]:
        looks.append(tuple(asked))
        return {"b"}

    running = Running(revoked, 0.02)
    watching = asyncio.create_task(running.watch())
    await asyncio.sleep(0.1)
    assert looks == []

    async def run(token: str) -> str:
        async with running.by(Caller("x", token_sha256=token)):
            await asyncio.sleep(0.2)
        return token

    results = await asyncio.gather(*map(run, "aaabbbccc"), return_exceptions=True)
    assert results[:3] + results[6:] == ["a"] * 3 + ["c"] * 3
    assert all(isinstance(result, AuthenticationFailed) for result in results[3:6])
    assert looks[0] == ("a", "b", "c")
    assert len(looks) < 20
    made = len(looks)
    await asyncio.sleep(0.1)
    assert len(looks) <= made + 1
    watching.cancel()


async def test_many_streams_of_many_tokens(serve: Serve, times: Callable[[int], int]) -> None:
    """Half of them are revoked while all run: those end, the others don't."""
    engine = FakeEngine(delay_s=0.05, endless=True)
    async with serve(engine, limits={"max_waiting_requests": 100_000}) as served:
        tokens = [token_of(served) for _ in range(times(200))]
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=served.url, limits=limits, timeout=60) as client:
            body = {**ASK, "prompt": "a", "stream": True}
            asked = [
                asyncio.create_task(client.post(served.path(), json=body, headers=headers))
                for _, headers in tokens
            ]
            await until(lambda: len(engine.running) == len(tokens))
            for token_id, _ in tokens[::2]:
                served.stores.tokens.revoke(token_id)
            async with asyncio.timeout(20):
                ended = await asyncio.gather(*asked[::2])
            assert all(
                json.loads(answer.text.strip().rpartition("data: ")[2])["errors"][0]["code"] == 10000
                for answer in ended
            )
            assert len(engine.running) == len(tokens) - len(ended)
            for task in asked:
                task.cancel()
