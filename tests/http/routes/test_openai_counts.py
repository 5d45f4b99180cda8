"""`messages/count_tokens` and `responses/input_tokens`: the number that the answer's usage has."""

from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from tests.conftest import CF, HF, Serve, Served
from tests.http.routes.test_compatible_apis import BODIES, ROOT

pytestmark = pytest.mark.anyio

TOOL = {"name": "now", "description": "The time", "input_schema": {"type": "object", "properties": {}}}
TURNS: Any = [{"role": "user", "content": "Say hello"}, {"role": "assistant", "content": "Hello"}] * 3
CONVERSATIONS: list[dict[str, Any]] = [
    {"messages": TURNS[:1]},
    {"messages": TURNS[:5]},
    {"messages": TURNS[:1], "system": "Be kind."},
    {"messages": TURNS[:1], "tools": [TOOL]},
    {"messages": TURNS[:1], "thinking": {"type": "disabled"}},
]


async def count(served: Served, path: str, body: Any) -> Any:
    return await served.client.post(f"{ROOT}/{path}", json=body)


@pytest.mark.parametrize("conversation", CONVERSATIONS)
async def test_as_many_as_the_message_is_charged(serve: Serve, conversation: dict[str, Any]) -> None:
    async with serve() as served:
        body = {"model": HF, **conversation}
        counted = await count(served, "messages/count_tokens", body)
        assert counted.status_code == 200, counted.text
        answer = await count(served, "messages", {**body, "max_tokens": 9})
        assert counted.json() == {"input_tokens": answer.json()["usage"]["input_tokens"]}


async def test_through_the_packages(serve: Serve) -> None:
    async with serve() as served:
        root = f"{served.url}/client/v4/accounts/local/ai"
        async with AsyncAnthropic(api_key=served.token, base_url=root) as anthropic:
            counted = await anthropic.messages.count_tokens(model=HF, messages=TURNS[:1])
            answer = await anthropic.messages.create(model=HF, messages=TURNS[:1], max_tokens=9)
            assert counted.input_tokens == answer.usage.input_tokens
        async with AsyncOpenAI(api_key=served.token, base_url=f"{root}/v1") as openai:
            response = await openai.responses.create(model=HF, input="Say hello")
            tokens = await openai.responses.input_tokens.count(model=HF, input="Say hello")
            assert response.usage is not None
            assert tokens.input_tokens == response.usage.input_tokens
            assert tokens.object == "response.input_tokens"


async def test_what_does_not_fit_is_counted_too(serve: Serve) -> None:
    async with serve() as served:
        long = {"model": CF, "messages": [{"role": "user", "content": "a " * 20_000}]}
        counted = await count(served, "messages/count_tokens", long)
        assert counted.json()["input_tokens"] > 20_000
        long["messages"] = [{"role": "user", "content": "a " * 2_000_000}]
        refused = await count(served, "messages/count_tokens", long)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (413, 5021)


async def test_refusals(serve: Serve) -> None:
    async with serve() as served:
        for body, status in (
            ({}, 400),
            ({"model": "@cf/none", "messages": TURNS[:1]}, 400),
            ({"model": f"{HF}:nobody", "messages": TURNS[:1]}, 404),
            ({"model": HF, "messages": "a"}, 400),
        ):
            refused = await count(served, "messages/count_tokens", body)
            assert (refused.status_code, refused.json()["type"]) == (status, "error")
        assert (await count(served, "responses/input_tokens", BODIES["responses"])).status_code == 200
        assert (await served.client.get(f"{ROOT}/messages/count_tokens")).status_code == 405
