"""instructor, in the ways to an object that it has for these APIs, whole and piece by piece."""

from typing import Any

import instructor
from anthropic import Anthropic
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
    failures,
    tell,
)
from instructor import Mode
from openai import OpenAI
from pydantic import BaseModel, Field

JSON_MODES = (Mode.JSON, Mode.MD_JSON)


class City(BaseModel):
    city: str = Field(max_length=40)
    people: int = Field(ge=0, le=100_000_000)


class get_weather(BaseModel):
    """The weather in a city: instructor makes a tool of this name."""

    city: str


def openai(place: Place, mode: Mode) -> Any:
    client = OpenAI(base_url=place.v1, api_key=place.token, max_retries=0)
    return instructor.from_openai(client, mode=mode)


def anthropic(place: Place, mode: Mode) -> Any:
    client = Anthropic(base_url=place.base, api_key=place.token, max_retries=0)
    return instructor.from_anthropic(client, mode=mode)


def made(client: Any, kind: type[BaseModel], text: str, model: str = MODEL, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    answer = client.create(response_model=kind, model=model, messages=messages, max_retries=1, **more)
    return dict(answer.model_dump())


def called(client: Any, **more: Any) -> dict[str, Any]:
    return {"called": {"name": "get_weather", "arguments": made(client, get_weather, WEATHER, **more)}}


def in_pieces(client: Any) -> list[Any]:
    messages = [{"role": "user", "content": WHERE}]
    pieces = client.create_partial(response_model=City, model=MODEL, messages=messages)
    return [piece.model_dump() for piece in pieces]


def text(place: Place, model: str) -> str:
    """Without a class it answers as the package below does."""
    client = openai(place, Mode.TOOLS)
    answer = client.create(response_model=None, model=model, messages=[{"role": "user", "content": HELLO}])
    return str(answer.choices[0].message.content)


def described(error: Any) -> dict[str, Any]:
    """Its own error comes from the package's."""
    cause = error.__cause__
    return {"status": cause.status_code, "code": getattr(cause, "code", None)}


def by_schema(place: Place, model: str, text: str) -> dict[str, Any]:
    return made(openai(place, Mode.JSON_SCHEMA), City, text, model)


def by_tool(place: Place, model: str, text: str) -> dict[str, Any]:
    return made(anthropic(place, Mode.ANTHROPIC_TOOLS), City, text, model, **ENOUGH)


ENOUGH: dict[str, Any] = {"max_tokens": 1024}
tell(
    openai={
        "text": text(PLAIN, MODEL),
        "lora": text(PLAIN, LORA),
        "object": by_schema(OBJECTS, MODEL, WHERE),
        "objects": {mode.name: made(openai(PROMPTED, mode), City, WHERE) for mode in JSON_MODES},
        "pieces": in_pieces(openai(OBJECTS, Mode.JSON_SCHEMA)),
        "tools": called(openai(CALLING, Mode.TOOLS)),
        "strict": called(openai(CALLING, Mode.TOOLS_STRICT)),
        "failures": {"text": failures(by_schema, described)},
    },
    anthropic={
        "object": made(anthropic(PROMPTED, Mode.ANTHROPIC_JSON), City, WHERE, **ENOUGH),
        "tools": called(anthropic(CALLING, Mode.ANTHROPIC_TOOLS), **ENOUGH),
        "failures": {"text": failures(by_tool, described)},
    },
)
