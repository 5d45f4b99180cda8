"""mistralai."""

import json
from typing import Any

from asking import CALLING, HELLO, LORA, MODEL, OBJECTS, PLAIN, WEATHER, WHERE, Place, failures, tell
from mistralai.client import Mistral
from pydantic import BaseModel, Field

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]


class City(BaseModel):
    city: str = Field(max_length=40)
    people: int = Field(ge=0, le=100_000_000)


def chat(place: Place) -> Any:
    return Mistral(api_key=place.token, server_url=place.base).chat


def asked(text: str) -> Any:
    return [{"role": "user", "content": text}]


def whole(place: Place, model: str, text: str) -> str:
    return str(chat(place).complete(model=model, messages=asked(text)).choices[0].message.content)


def streamed(place: Place, model: str, text: str) -> list[Any]:
    with chat(place).stream(model=model, messages=asked(text)) as events:
        return [event.data for event in events]


def tools() -> dict[str, Any]:
    question = asked(WEATHER)
    answer = chat(CALLING).complete(model=MODEL, messages=question, tools=TOOLS, tool_choice="any")
    (choice,) = answer.choices
    (call,) = choice.message.tool_calls
    result = {"role": "tool", "name": "get_weather", "tool_call_id": call.id, "content": "Sun."}
    after = chat(PLAIN).complete(model=MODEL, messages=[*question, choice.message, result], tools=TOOLS)
    called = {"name": call.function.name, "arguments": json.loads(call.function.arguments)}
    return {"finish": choice.finish_reason, "called": called, "after": after.choices[0].message.content}


def described(error: Any) -> dict[str, Any]:
    return {"status": error.status_code, "body": error.body}


answer = chat(PLAIN).complete(model=MODEL, messages=asked(HELLO))
chunks = streamed(PLAIN, MODEL, HELLO)
parsed = chat(OBJECTS).parse(City, model=MODEL, messages=asked(WHERE))
choices = [choice for chunk in chunks for choice in chunk.choices]
reasons = [choice.finish_reason for choice in choices if choice.finish_reason]
outcome = {
    "text": answer.choices[0].message.content,
    "finish": answer.choices[0].finish_reason,
    "tokens": answer.usage.completion_tokens,
    "streamed": "".join(choice.delta.content or "" for choice in choices),
    "streamed_finish": reasons[-1],
    "lora": whole(PLAIN, LORA, HELLO),
    "tools": tools(),
    "object": parsed.choices[0].message.parsed.model_dump(),
    "failures": {"text": failures(whole, described), "stream": failures(streamed, described)},
}
tell(chat=outcome)
