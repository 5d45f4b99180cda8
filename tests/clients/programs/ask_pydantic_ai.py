"""pydantic-ai with each of its models that speak what the server speaks."""

import asyncio
from collections.abc import Callable
from typing import Any

from anthropic import AsyncAnthropic
from asking import (
    CALLING,
    HELLO,
    LORA,
    MODEL,
    OBJECTS,
    PLAIN,
    PROMPTED,
    WEATHER,
    WHERE,
    Place,
    failures_of,
    tell,
)
from openai import AsyncOpenAI
from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput, PromptedOutput
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.mistral import MistralModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.mistral import MistralProvider
from pydantic_ai.providers.openai import OpenAIProvider

Named = Callable[[Place, str], Model]


class City(BaseModel):
    city: str = Field(max_length=40)
    people: int = Field(ge=0, le=100_000_000)


def openai(place: Place) -> OpenAIProvider:
    """Its own client tries an overloaded server three times; this one is the same, without that."""
    client = AsyncOpenAI(base_url=place.v1, api_key=place.token, max_retries=0)
    return OpenAIProvider(openai_client=client)


def anthropic(place: Place) -> AnthropicProvider:
    client = AsyncAnthropic(base_url=place.base, api_key=place.token, max_retries=0)
    return AnthropicProvider(anthropic_client=client)


MODELS: dict[str, Named] = {
    "chat": lambda place, name: OpenAIChatModel(name, provider=openai(place)),
    "responses": lambda place, name: OpenAIResponsesModel(name, provider=openai(place)),
    "anthropic": lambda place, name: AnthropicModel(name, provider=anthropic(place)),
    "mistral": lambda place, name: MistralModel(
        name, provider=MistralProvider(api_key=place.token, base_url=place.base)
    ),
}
STRUCTURED = {"chat": NativeOutput, "responses": NativeOutput, "mistral": PromptedOutput}


async def streamed(agent: Agent[None, str]) -> str:
    async with agent.run_stream(HELLO) as run:
        return "".join([piece async for piece in run.stream_text(delta=True)])


async def called(named: Named) -> dict[str, Any]:
    """The tool ends the run, for the fake engine would call it for ever."""
    calls: list[str] = []

    class Enough(Exception):
        pass

    agent = Agent(named(CALLING, MODEL), instructions="Use the tool.")

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather in a city."""
        calls.append(city)
        raise Enough

    try:
        await agent.run(WEATHER)
    except Enough:
        return {"name": "get_weather", "arguments": {"city": calls[0]}}
    return {}


async def typed(named: Named, output: Any) -> dict[str, Any]:
    """An answer as a class, by its schema or, where the model has no such mode, by JSON mode."""
    place = OBJECTS if output is NativeOutput else PROMPTED
    agent = Agent(named(place, MODEL), output_type=output(City))
    return dict((await agent.run(WHERE)).output.model_dump())


def described(error: Any) -> dict[str, Any]:
    return {
        "status": error.status_code,
        "code": error.provider_error_code,
        "type": error.provider_error_type,
        "body": str(error.body),
    }


async def told(named: Named) -> dict[str, Any]:
    async def ask(place: Place, model: str, text: str) -> str:
        return (await Agent(named(place, model)).run(text)).output

    agent = Agent(named(PLAIN, MODEL))
    answer = await agent.run(HELLO)
    return {
        "text": answer.output,
        "tokens": answer.usage.output_tokens,
        "streamed": await streamed(agent),
        "lora": await ask(PLAIN, LORA, HELLO),
        "tools": {"called": await called(named)},
        "failures": {"text": await failures_of(ask, described)},
    }


async def main() -> None:
    outcomes = {name: await told(named) for name, named in MODELS.items()}
    for name, output in STRUCTURED.items():
        outcomes[name]["object"] = await typed(MODELS[name], output)
    tell(**outcomes)


asyncio.run(main())
