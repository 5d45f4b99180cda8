"""workers-ai-provider with the AI SDK (tests/clients/provider.mjs): over REST by its `fetch` option, and by a binding."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app.engines.fake import ANSWER, FakeEngine
from tests.clients.finetunes import ready
from tests.clients.node import CLIENTS, node
from tests.conftest import HF, Serve, Served
from tests.live.server import LiveServer

PROGRAM = CLIENTS / "provider.mjs"
WORDS = len(ANSWER.split())
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Berlin"}}</tool_call>'
KINDS = ("rest", "binding")


def provider(server: LiveServer | Served, home: Path, what: str, lora: str = "") -> dict[str, Any]:
    done = node(server, home, PROGRAM, what, HF, lora)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_text_streams_lora_and_errors(server: LiveServer, tmp_path: Path, adapter: Path) -> None:
    ready(server, "from-provider", adapter)
    got = provider(server, tmp_path, "text", "from-provider")
    for kind in KINDS:
        plain, streamed = got[kind]["generated"], got[kind]["streamed"]
        for answer in (plain, streamed):
            assert (answer["text"], answer["finishReason"], answer["warnings"]) == (ANSWER, "stop", [])
            assert answer["usage"]["output"] == WORDS
        assert streamed["pieces"] == WORDS
        assert got[kind]["lora"]["text"].startswith("[from-provider]")
        assert "No such model @cf/no/such or task" in got[kind]["failure"]["message"]
    assert got["rest"]["failure"]["statusCode"] == 400


async def with_answer(serve: Serve, home: Path, answer: str, what: str) -> dict[str, Any]:
    async with serve(FakeEngine(answer=answer)) as served:
        return await asyncio.to_thread(provider, served, home, what)


@pytest.mark.anyio
async def test_tools_that_must_be_called(serve: Serve, tmp_path: Path) -> None:
    got = await with_answer(serve, tmp_path, CALL, "tools")
    for kind in KINDS:
        for answer in (got[kind]["generated"], got[kind]["streamed"]):
            (call,) = answer["toolCalls"]
            assert (call["toolName"], call["input"]) == ("weather", {"city": "Berlin"})
            assert (answer["text"], answer["warnings"]) == ("", [])
        assert got[kind]["streamed"]["finishReason"] == "tool-calls"


@pytest.mark.anyio
async def test_a_tool_that_answers(serve: Serve, tmp_path: Path) -> None:
    got = await with_answer(serve, tmp_path, CALL, "steps")
    for kind in KINDS:
        assert [step["outputs"] for step in got[kind]] == [["Rain in Berlin"], ["Rain in Berlin"]]


@pytest.mark.anyio
async def test_an_object(serve: Serve, tmp_path: Path) -> None:
    got = await with_answer(serve, tmp_path, '{"city": "Berlin"}', "object")
    assert got == {kind: {"city": "Berlin"} for kind in KINDS}
