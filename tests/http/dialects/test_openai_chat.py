"""A run as OpenAI's chat completion."""

import re
import time
from typing import Any

import orjson
import pytest

from app.errors import RequestAborted
from app.http.dialects.openai_chat import ChatReply
from app.http.padding import Padding
from app.types import Delta, TokenLogprob
from tests.conftest import HF
from tests.http.dialects.runs import (
    ABORTED,
    BERLIN,
    CALLS,
    PARIS,
    TEXT_AND_CALL,
    WORDS,
    events,
    frames,
    run_of,
)

pytestmark = pytest.mark.anyio

USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 3,
    "total_tokens": 10,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
SAID: dict[str, Any] = {"role": "assistant", "refusal": None, "annotations": []}
LIKELY = TokenLogprob("é", -0.5, (("é", -0.5), ("e", -2.0)))


def reply(padded: bool = False, with_usage: bool = True) -> ChatReply:
    return ChatReply(HF, Padding(padded), with_usage=with_usage)


def rendered(call: Any) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


async def test_the_whole_answer() -> None:
    before_ms = int(time.time() * 1000)
    answer = await reply().json(run_of(WORDS))
    assert before_ms <= int(answer["id"].removeprefix("id-")) <= time.time() * 1000
    assert answer == {
        "id": answer["id"],
        "object": "chat.completion",
        "created": int(answer["id"].removeprefix("id-")) // 1000,
        "model": HF,
        "choices": [
            {
                "index": 0,
                "message": {**SAID, "content": 'One "two"\n'},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": USAGE,
        "service_tier": "default",
    }


async def test_tokens_of_the_cache_are_named() -> None:
    answer = await reply().json(run_of(WORDS, cached_tokens=4))
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 4


async def test_calls() -> None:
    (choice,) = (await reply().json(run_of(CALLS)))["choices"]
    assert choice["message"] == {
        **SAID,
        "content": None,
        "tool_calls": [rendered(BERLIN), rendered(PARIS)],
    }
    assert choice["finish_reason"] == "tool_calls"
    (choice,) = (await reply().json(run_of(TEXT_AND_CALL)))["choices"]
    assert choice["message"]["content"] == "Let me see."


async def test_the_stream_byte_for_byte() -> None:
    given = reply()
    first, *_ = await frames(given, WORDS)
    identity = re.match(r'data: \{"id":"(id-\d+)","created":(\d+),', first)
    assert identity is not None
    head = f'data: {{"id":"{identity[1]}","created":{identity[2]},"model":"{HF}","object":"chat.completion.chunk",'
    assert await frames(given, WORDS) == [
        head + '"choices":[{"index":0,"delta":{"role":"assistant","content":"One","refusal":null},'
        '"logprobs":null,"finish_reason":null}]}',
        head
        + '"choices":[{"index":0,"delta":{"content":" \\"two\\"\\n"},"logprobs":null,"finish_reason":null}]}',
        head + '"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],'
        f'"usage":{orjson.dumps(USAGE).decode()}}}',
        "data: [DONE]",
    ]


async def test_usage_is_left_out_where_the_client_says_so() -> None:
    assert all("usage" not in event for event in await events(reply(with_usage=False), WORDS))


async def test_chunks_are_padded_but_the_last() -> None:
    *chunks, last = await events(reply(padded=True), WORDS)
    assert all(chunk["p"] for chunk in chunks)
    assert "p" not in last


async def test_calls_in_a_stream() -> None:
    opening, first, second, last = await events(reply(), CALLS)
    deltas = [chunk["choices"][0]["delta"] for chunk in (opening, first, second, last)]
    assert deltas == [
        {"role": "assistant", "content": "", "refusal": None},
        {"tool_calls": [{"index": 0, **rendered(BERLIN)}]},
        {"tool_calls": [{"index": 1, **rendered(PARIS)}]},
        {},
    ]
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    (opening, _) = await events(reply(), CALLS[2:])
    assert opening["choices"][0]["delta"]["content"] is None


async def test_logprobs() -> None:
    deltas = (Delta("é", [1], None, 0, (LIKELY,)), Delta("", [2], "stop"))
    expected = {
        "token": "é",
        "logprob": -0.5,
        "bytes": [195, 169],
        "top_logprobs": [
            {"token": "é", "logprob": -0.5, "bytes": [195, 169]},
            {"token": "e", "logprob": -2.0, "bytes": [101]},
        ],
    }
    (choice,) = (await reply().json(run_of(deltas)))["choices"]
    assert choice["logprobs"] == {"content": [expected], "refusal": None}
    chunk, _ = await events(reply(), deltas)
    assert chunk["choices"][0]["logprobs"] == {"content": [expected], "refusal": None}


async def test_an_aborted_run_is_an_error() -> None:
    with pytest.raises(RequestAborted):
        await reply().json(run_of(ABORTED))
    with pytest.raises(RequestAborted):
        await events(reply(), ABORTED)
