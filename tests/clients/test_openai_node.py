"""The openai package for Node: tests/clients/openai.mjs to its end, and what it got."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app.engines.fake import ANSWER, FakeEngine
from tests.clients.node import CLIENTS, node
from tests.conftest import CF, HF, Serve, Served

pytestmark = pytest.mark.anyio

ARGUMENTS = {"city": "Berlin"}
CALL = f'<tool_call>{{"name": "get_weather", "arguments": {json.dumps(ARGUMENTS)}}}</tool_call>'


async def got(served: Served, home: Path, what: str) -> dict[str, Any]:
    done = await asyncio.to_thread(node, served, home, CLIENTS / "openai.mjs", HF, what)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


async def test_text(serve: Serve, tmp_path: Path) -> None:
    async with serve() as served:
        said = await got(served, tmp_path, "text")
    message: dict[str, Any] = {"role": "assistant", "content": ANSWER, "refusal": None, "annotations": []}
    assert said["answer"]["choices"][0]["message"] == message
    choices = [chunk["choices"][0] for chunk in said["chunks"]]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == ANSWER
    assert choices[-1]["finish_reason"] == "stop"
    assert said["together"]["choices"][0]["message"]["content"] == ANSWER
    assert said["together"]["choices"][0]["finish_reason"] == "stop"
    assert said["completion"]["choices"][0]["text"] == ANSWER
    assert [said[name]["output_text"] for name in ("response", "streamed")] == [ANSWER, ANSWER]
    assert set(said["listed"]) == {name for card in (HF, CF) for name in (card, card.rpartition("/")[2])}
    assert (said["failure"]["type"], said["failure"]["code"]) == ("BadRequestError", "model_not_found")
    assert "No such model @cf/none or task" in said["failure"]["message"]


async def test_tools(serve: Serve, tmp_path: Path) -> None:
    async with serve(FakeEngine(answer=CALL)) as served:
        said = await got(served, tmp_path, "tools")
    for name in ("answer", "together"):
        (choice,) = said[name]["choices"]
        (call,) = choice["message"]["tool_calls"]
        assert choice["finish_reason"] == "tool_calls"
        assert json.loads(call["function"]["arguments"]) == ARGUMENTS
    (item,) = said["response"]["output"]
    assert (item["type"], json.loads(item["arguments"])) == ("function_call", ARGUMENTS)
