"""openai-agents, on chat completions and on responses."""

import asyncio
from typing import Any

from agents import (
    Agent,
    AgentOutputSchema,
    ModelSettings,
    OpenAIProvider,
    RunConfig,
    Runner,
    StopAtTools,
    function_tool,
    set_default_openai_client,
)
from asking import CALLING, HELLO, LORA, MODEL, OBJECTS, PLAIN, WEATHER, WHERE, Place, failures_of, tell
from openai import AsyncOpenAI
from pydantic import BaseModel, Field

called: list[str] = []


class City(BaseModel):
    city: str = Field(max_length=40)
    people: int = Field(ge=0, le=100_000_000)


@function_tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    called.append(city)
    return f"Rain in {city}"


def config(place: Place, responses: bool) -> RunConfig:
    client = AsyncOpenAI(base_url=place.v1, api_key=place.token, max_retries=0)
    return RunConfig(
        model_provider=OpenAIProvider(openai_client=client, use_responses=responses), tracing_disabled=True
    )


async def answer(place: Place, model: str, text: str, responses: bool, **more: Any) -> Any:
    agent = Agent(name="Asking", instructions="Be brief.", model=model, **more)
    return (await Runner.run(agent, text, run_config=config(place, responses))).final_output


async def streamed(responses: bool) -> str:
    run = Runner.run_streamed(Agent(name="Asking", model=MODEL), HELLO, run_config=config(PLAIN, responses))
    pieces = []
    async for event in run.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            pieces.append(event.data.delta)
    return "".join(pieces)


async def with_a_tool(responses: bool) -> dict[str, Any]:
    called.clear()
    result = await answer(
        CALLING,
        MODEL,
        WEATHER,
        responses,
        tools=[get_weather],
        model_settings=ModelSettings(tool_choice="required"),
        tool_use_behavior=StopAtTools(stop_at_tool_names=["get_weather"]),
    )
    return {"called": {"name": "get_weather", "arguments": {"city": called[0]}}, "result": result}


async def told(responses: bool) -> dict[str, Any]:
    city = await answer(OBJECTS, MODEL, WHERE, responses, output_type=AgentOutputSchema(City))

    async def ask(place: Place, model: str, text: str) -> Any:
        return await answer(place, model, text, responses)

    return {
        "text": await answer(PLAIN, MODEL, HELLO, responses),
        "streamed": await streamed(responses),
        "lora": await answer(PLAIN, LORA, HELLO, responses),
        "tools": await with_a_tool(responses),
        "object": city.model_dump(),
        "failures": {"text": await failures_of(ask, described)},
    }


def described(error: Any) -> dict[str, Any]:
    return {"status": error.status_code, "code": error.code, "type": error.type}


async def by_alias(model: str) -> Any:
    """Without a provider, as most of its users have it: what stands before a slash would be another provider's name."""
    client = AsyncOpenAI(base_url=PLAIN.v1, api_key=PLAIN.token, max_retries=0)
    set_default_openai_client(client, use_for_tracing=False)
    return (await Runner.run(Agent(name="Asking", model=model), HELLO)).final_output


async def aliases() -> dict[str, Any]:
    return {"text": await by_alias(last_part(MODEL)), "lora": await by_alias(last_part(LORA))}


def last_part(model: str) -> str:
    return model.rpartition("/")[2]


async def main() -> None:
    tell(chat=await told(False), responses=await told(True), alias=await aliases())


asyncio.run(main())
