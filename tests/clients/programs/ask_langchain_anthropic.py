"""langchain-anthropic, which asks for 4096 tokens and more by itself."""

from typing import Any

from asking import CALLING, HELLO, LORA, MODEL, PLAIN, WEATHER, Place, failures, tell
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Rain in {city}"


@tool
def place(city: str, people: int) -> None:
    """A place and how many people live there."""


def chat(where: Place, model: str = MODEL) -> ChatAnthropic:
    return ChatAnthropic(model=model, base_url=where.base, api_key=where.token, max_retries=0)  # type: ignore[call-arg]


def whole(where: Place, model: str, text: str) -> Any:
    return chat(where, model).invoke(text)


def streamed(where: Place, model: str, text: str) -> list[Any]:
    return list(chat(where, model).stream(text))


def tools() -> dict[str, Any]:
    model = chat(CALLING).bind_tools([get_weather], tool_choice="any")
    first = model.invoke(WEATHER)
    (call,) = first.tool_calls
    result: ToolMessage = get_weather.invoke(call)
    after = chat(PLAIN).bind_tools([get_weather]).invoke([("human", WEATHER), first, result])
    return {
        "finish": first.response_metadata["stop_reason"],
        "called": {"name": call["name"], "arguments": call["args"]},
        "after": after.text,
    }


def described(error: Any) -> dict[str, Any]:
    body = error.body if isinstance(error.body, dict) else {}
    return {"status": error.status_code, "type": body.get("error", {}).get("type")}


answer = whole(PLAIN, MODEL, HELLO)
chunks = streamed(PLAIN, MODEL, HELLO)
together = sum(chunks[1:], chunks[0])
outcome = {
    "text": answer.text,
    "finish": answer.response_metadata["stop_reason"],
    "tokens": answer.usage_metadata["output_tokens"],
    "streamed": together.text,
    "streamed_finish": together.response_metadata["stop_reason"],
    "lora": whole(PLAIN, LORA, HELLO).text,
    "tools": tools(),
    "failures": {"text": failures(whole, described), "stream": failures(streamed, described)},
}
tell(anthropic=outcome)
