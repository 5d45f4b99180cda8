"""A run as OpenAI's legacy completion."""

import pytest

from app.errors import RequestAborted
from app.http.dialects.openai_completions import CompletionReply
from app.http.padding import Padding
from app.types import Delta, TokenLogprob
from tests.conftest import HF
from tests.http.dialects.runs import ABORTED, WORDS, events, frames, run_of
from tests.http.dialects.test_openai_chat import USAGE

pytestmark = pytest.mark.anyio

LIKELY = (
    Delta("One", [1], None, 0, (TokenLogprob("One", -0.5, (("One", -0.5), ("Two", -1.0))),)),
    Delta(" two", [2], "stop", 0, (TokenLogprob(" two", -0.25),)),
)


def reply(with_usage: bool = True) -> CompletionReply:
    return CompletionReply(HF, Padding(enabled=False), with_usage=with_usage)


async def test_the_whole_answer() -> None:
    answer = await reply().json(run_of(WORDS))
    assert answer["id"].startswith("id-")
    assert (answer["object"], answer["model"], answer["usage"]) == ("text_completion", HF, USAGE)
    assert answer["choices"] == [
        {"index": 0, "text": 'One "two"\n', "finish_reason": "stop", "logprobs": None}
    ]


async def test_the_stream() -> None:
    chunks = await events(reply(), WORDS)
    nothing = {"index": 0, "finish_reason": None, "logprobs": None}
    assert [chunk["choices"] for chunk in chunks] == [
        [{**nothing, "text": "One"}],
        [{**nothing, "text": ' "two"\n'}],
        [{**nothing, "text": "", "finish_reason": "stop"}],
    ]
    assert [chunk.get("usage") for chunk in chunks] == [None, None, USAGE]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert (await frames(reply(), WORDS))[-1] == "data: [DONE]"
    assert all("usage" not in event for event in await events(reply(with_usage=False), WORDS))


async def test_logprobs() -> None:
    (choice,) = (await reply().json(run_of(LIKELY)))["choices"]
    assert choice["logprobs"] == {
        "tokens": ["One", " two"],
        "token_logprobs": [-0.5, -0.25],
        "top_logprobs": [{"One": -0.5, "Two": -1.0}, {}],
        "text_offset": [0, 3],
    }
    first, second, _ = (chunk["choices"][0] for chunk in await events(reply(), LIKELY))
    assert (first["logprobs"]["text_offset"], second["logprobs"]["text_offset"]) == ([0], [3])
    assert (first["text"], second["text"]) == ("One", " two")


async def test_an_aborted_run_is_an_error() -> None:
    with pytest.raises(RequestAborted):
        await reply().json(run_of(ABORTED))
    with pytest.raises(RequestAborted):
        await events(reply(), ABORTED)
