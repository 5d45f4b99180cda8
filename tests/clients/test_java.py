"""Java's own HttpClient, which offers HTTP/2 with `Upgrade: h2c` to every server that it meets."""

import json
from typing import Any

import pytest

from app.engines.fake import ANSWER
from tests.clients.java import OLDEST_JAVA, ParsedRequest, ask_from_java, find_java
from tests.clients.situations import PLACE
from tests.conftest import CF, HF
from tests.live.server import sse_events

JAVA = find_java()
pytestmark = pytest.mark.skipif(JAVA is None, reason=f"no java of {OLDEST_JAVA} or newer is on the PATH")

HELLO = [{"role": "user", "content": "Hello"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]
AT_ONCE = 24
CHAT = "v1/chat/completions"


Told = dict[str, tuple[int, str]]


def requests(situation: str) -> dict[str, ParsedRequest]:
    places = json.loads(situation)

    def asked(
        way: str, path: str, body: dict[str, Any], kind: str = "plain", token: str = ""
    ) -> ParsedRequest:
        place = places[kind]
        return ParsedRequest(way, f"{place['base']}/{path}", token or place["token"], body)

    chat = {"model": HF, "messages": HELLO}
    forced = {**chat, "tools": TOOLS, "tool_choice": "required"}
    too_long = {"model": HF, "messages": [{"role": "user", "content": "7 " * 3000}]}
    return {
        "called": asked("whole", CHAT, forced, "calling"),
        "chat": asked("whole", CHAT, chat),
        "native": asked("chunked", f"run/{HF}", {"prompt": "Hello"}),
        "lora": asked("whole", f"run/{CF}", {"prompt": "Hello", "lora": "pirate"}),
        "messages": asked("chunked", "v1/messages", {**chat, "max_tokens": 4096}),
        "object": asked("whole", CHAT, {**chat, "response_format": {"type": "json_object"}}, "objects"),
        "stream": asked("lines", f"run/{HF}", {"prompt": "Hello", "stream": True}),
        "unknown_model": asked("whole", CHAT, {**chat, "model": "@cf/none/such"}),
        "bad_token": asked("chunked", CHAT, chat, token="nobody"),
        "too_long": asked("whole", CHAT, too_long),
        "overload": asked("lines", CHAT, {**chat, "stream": True}, "full"),
        **{f"at once {number}": asked("together", CHAT, long(number)) for number in range(AT_ONCE)},
        **{f"in chunks {number}": asked("chunked", CHAT, long(number)) for number in range(4)},
    }


def long(number: int) -> dict[str, Any]:
    return {"model": CF, "messages": [{"role": "user", "content": f"{number} " * 700}], "max_tokens": 3}


@pytest.fixture(scope="module")
def told(situation: str, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Everything, from one program."""
    assert JAVA is not None
    asked = requests(situation)
    found = ask_from_java(JAVA, list(asked.values()), tmp_path_factory.mktemp("java"))
    return dict(zip(asked, found, strict=True))


def answer(told: Told, name: str) -> Any:
    status, body = told[name]
    assert status == 200, body
    return json.loads(body)


def test_answers_of_every_api(told: Told) -> None:
    (call,) = answer(told, "called")["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"city": "Berlin"}
    assert answer(told, "chat")["choices"][0]["message"]["content"] == ANSWER
    assert answer(told, "native")["result"]["response"] == ANSWER
    assert answer(told, "lora")["result"]["response"] == f"[pirate] {ANSWER}"
    assert answer(told, "messages")["content"][0]["text"] == ANSWER
    assert json.loads(answer(told, "object")["choices"][0]["message"]["content"]) == PLACE


def test_a_stream_line_by_line(told: Told) -> None:
    status, text = told["stream"]
    *events, done = sse_events(f"{text}\n")
    assert (status, done) == (200, "[DONE]")
    assert "".join(json.loads(event).get("response", "") for event in events) == ANSWER


def test_bodies_are_read_whole_on_every_connection(told: Told) -> None:
    """Each of many at once opens a connection, and so offers HTTP/2 with a body behind it: it must not be lost."""
    many = [answer(told, name) for name in told if name.startswith(("at once", "in chunks"))]
    assert len(many) == AT_ONCE + 4
    for one in many:
        assert one["choices"][0]["message"]["content"] == " ".join(ANSWER.split()[:3])
        assert one["usage"]["prompt_tokens"] > 1000


def test_errors_have_their_status_and_body(told: Told) -> None:
    expected = {
        "unknown_model": (400, 5007, "No such model"),
        "bad_token": (401, 10000, "Authentication error"),
        "too_long": (413, 5021, "number of input tokens"),
        "overload": (429, 3040, "Capacity temporarily exceeded"),
    }
    for name, (status, code, words) in expected.items():
        body = json.loads(told[name][1])
        assert (told[name][0], body["errors"][0]["code"]) == (status, code)
        assert words in body["error"]["message"]
