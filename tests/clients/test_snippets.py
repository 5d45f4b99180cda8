"""The playground's "Get code": each snippet is run, and the request that it sends is looked at on its way."""

import ast
import asyncio
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from app.catalog.cards import load_cards
from app.engines.fake import ANSWER, FakeEngine
from app.http.dialects.native import NO_QUERY, NativeDialect
from app.http.dialects.openai import OpenAiDialect
from app.http.padding import Padding
from app.http.text_generation import ServedModel
from app.types import Message, TextRequest
from tests.clients.recorder import ParsedRequest, Recorder, in_pieces, passed_on
from tests.clients.snippets import NATIVE, PROGRAMS, made, run_snippet, run_workers
from tests.conftest import CF, HF, Serve, Served
from tests.live.server import CHECKOUT, LiveServer, sse_events

CARDS = load_cards(CHECKOUT / "schemas")
PADDING = Padding(enabled=False)

NASTY = """it's "quoted" `id` $HOME ${HOME} $(id) \\ \\n \\' %s %% ! #{x} {0} \t </script> <!-- END
'''\"\"\" \x7f\x85 é € 😀 👩‍🚀 \u2028\u2029 \ufeff\u202e """
UNPAIRED = "\ud800 \udfff\ud83d \x00\x1f \U000e0041 \U0001f3f4\U000e0067 \uffff \\ud800"

SAMPLING = {
    "max_tokens": 60,
    "temperature": 0.7,
    "top_p": 0.95,
    "top_k": 40,
    "seed": 9_999_999_999,
    "repetition_penalty": 1.1,
    "frequency_penalty": 0.5,
    "presence_penalty": 1e-7,
}
BESIDE_OPENAI = {name: SAMPLING[name] for name in ("top_k", "repetition_penalty")}
TURNS = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": NASTY},
    {"role": "user", "content": "What is Outworker?"},
]
CITY = {"type": "string", "description": "Name of the city."}
PARAMETERS = {"type": "object", "properties": {"city": CITY}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "The weather in a city.", "parameters": PARAMETERS}
ARGUMENTS = {"city": "Köln"}
CALL = f'<tool_call>{{"name": "get_weather", "arguments": {json.dumps(ARGUMENTS)}}}</tool_call>'
BERLIN = {"city": "Berlin"}
ASKING = {"messages": [{"role": "user", "content": "Weather?"}], "tools": [WEATHER]}
IN_JSON = {
    "messages": [{"role": "user", "content": "Where?"}],
    "response_format": {"type": "json_schema", "json_schema": PARAMETERS},
}
BACK = [
    {"role": "user", "content": [{"text": "Weather in Berlin?"}, {"type": "text", "text": "And now?"}]},
    {"role": "assistant", "content": "", "tool_calls": [{"name": "get_weather", "arguments": BERLIN}]},
    {"role": "tool", "content": "Sun.", "tool_call_id": "1"},
]

CASES: dict[str, dict[str, Any]] = {
    "prompt": {"prompt": NASTY},
    "prompt-stream": {"prompt": "Hello", "lora": "pirate", "raw": False, "stream": True},
    "messages": {"messages": TURNS, **SAMPLING, "lora": "pirate", "stream": False},
    "messages-stream": {"messages": TURNS, **SAMPLING, "stream": True},
    "raw": {"prompt": NASTY, "raw": True, **SAMPLING, "lora": "json"},
    "raw-stream": {"prompt": "[INST] Hello [/INST]", "raw": True, "tools": [WEATHER], "stream": True},
    "tools": {
        "messages": BACK,
        "tools": [WEATHER, {"type": "function", "function": {**WEATHER, "name": "get_news"}}],
        "tool_choice": "auto",
        "functions": [{"name": "f", "code": "return 1"}],
        "stop": ["engine"],
        "raw": False,
    },
}
MODELS = {"tools": CF}

# What OpenAI's API calls each of them: the path's end and the body, without the model.
OPENAI: dict[str, tuple[str, dict[str, Any]]] = {
    "prompt": ("chat/completions", {"messages": [{"role": "user", "content": NASTY}]}),
    "prompt-stream": (
        "chat/completions",
        {"messages": [{"role": "user", "content": "Hello"}], "lora": "pirate", "stream": True},
    ),
    "messages": ("chat/completions", CASES["messages"]),
    "messages-stream": ("chat/completions", CASES["messages-stream"]),
    "raw": ("completions", {"prompt": NASTY, **SAMPLING, "lora": "json"}),
    "raw-stream": ("completions", {"prompt": "[INST] Hello [/INST]", "stream": True}),
    "tools": (
        "chat/completions",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Weather in Berlin?"},
                        {"type": "text", "text": "And now?"},
                    ],
                },
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {
                            "id": "",
                            "type": "function",
                            "function": {"name": "get_weather", "arguments": '{"city":"Berlin"}'},
                        }
                    ],
                },
                BACK[2],
            ],
            "tools": [
                {"type": "function", "function": WEATHER},
                {"type": "function", "function": {**WEATHER, "name": "get_news"}},
            ],
            "tool_choice": "auto",
            "raw": False,
        },
    ),
}


@pytest.fixture
def recorder(server: LiveServer) -> Iterator[Recorder]:
    with Recorder(passed_on(server.url), server.token) as recorder:
        yield recorder


def exactly(value: Any) -> str:
    """Tells 1 from True and 1.0, which == does not."""
    return json.dumps(value, sort_keys=True)


def answer_of(body: dict[str, Any]) -> str:
    return f"[{body['lora']}] {ANSWER}" if body.get("lora") else ANSWER


def printed(name: str, body: dict[str, Any], output: str) -> str:
    """The text in what a snippet printed: curl prints the answer as it comes."""
    if name != "curl":
        return output.removesuffix("\n")
    if not body.get("stream"):
        return str(json.loads(output)["result"]["response"])
    *events, done = sse_events(output)
    assert done == "[DONE]"
    return "".join(json.loads(event).get("response", "") for event in events)


def understood(asked: ParsedRequest) -> TextRequest:
    """What the server makes of a request, and with a prompt as the user's turn that it becomes."""
    if "/ai/run/" in asked.path:
        parsed = NativeDialect(PADDING).parse(asked.path.partition("/ai/run/")[2], NO_QUERY, asked.body)
    else:
        dialect = OpenAiDialect(PADDING)
        completes = "/chat/" not in asked.path
        parsed = (dialect.parse_completion if completes else dialect.parse_chat)(asked.body)
    request, _ = ServedModel(CARDS[parsed.model], None).validate(parsed)  # type: ignore[arg-type]
    return request


def as_turn(request: TextRequest) -> dict[str, Any]:
    """What is asked. How an answer that `max_tokens` cuts is told is the dialect's."""
    fields = {name: getattr(request, name) for name in TextRequest.__slots__ if name != "may_be_cut"}
    if request.prompt is not None and not request.raw:
        fields |= {"prompt": None, "messages": (Message("user", request.prompt),)}
    return fields


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_request_and_its_answer(recorder: Recorder, tmp_path: Path, name: str, case: str) -> None:
    body, model = CASES[case], MODELS.get(case, HF)
    token = recorder.token if case in ("prompt", "raw-stream") else None
    code = made(recorder.url, body, token, model)[name]["code"]
    assert (recorder.token in code) == (token is not None)
    output = run_snippet(name, code, recorder, tmp_path)
    assert printed(name, body, output) == answer_of(body), output
    (asked,) = recorder.asked
    assert asked.headers["authorization"] == f"Bearer {recorder.token}"
    native = f"/client/v4/accounts/local/ai/run/{model}"
    if name in NATIVE:
        assert (asked.path, exactly(asked.body)) == (native, exactly(body))
        return
    path, mapped = OPENAI[case]
    assert asked.path == f"/client/v4/accounts/local/ai/v1/{path}"
    assert exactly(asked.body) == exactly({"model": model, **mapped})
    assert as_turn(understood(asked)) == as_turn(understood(ParsedRequest(native, {}, body)))


def test_workers(recorder: Recorder, tmp_path: Path) -> None:
    asked_for = [*CASES.items(), ("refused", {"prompt": "Hello", "lora": "nobody"})]
    codes = [
        made(recorder.url, body, None, MODELS.get(case, HF))["worker"]["code"] for case, body in asked_for
    ]
    *answers, refused = run_workers(codes, recorder, tmp_path)
    for (case, body), answer, asked in zip(CASES.items(), answers, recorder.asked, strict=False):
        assert asked.headers["cf-consn-model-id"] == MODELS.get(case, HF)
        assert exactly(asked.body["inputs"]) == exactly(body)
        stream = body.get("stream")
        kind = "text/event-stream" if stream else "application/json"
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        text = printed("curl", body, answer.text if stream else f'{{"result": {answer.text}}}')
        assert text == answer_of(body)
    message = "5033: Finetune nobody does not exist or is not accessible"
    assert refused.status_code == 400
    assert refused.json() == {"name": "AiError", "message": message}


def arguments(code: str) -> dict[str, Any]:
    """What a program in Python gives to `run` or `create`, read as Python reads it."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    (call,) = (
        call
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("run", "create") and call.keywords
    )
    given = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    extra = given.pop("extra_body", {})
    return {**given, **extra}


def test_every_text_is_written_so_that_it_is_read_back(tmp_path: Path) -> None:
    every = "".join(map(chr, range(0x300))) + UNPAIRED + NASTY
    deep: Any = every
    for _ in range(40):
        deep = {"a": [deep, None, True, False, -1.5e300, 0.1, 10**15], "__proto__": {}, "constructor": []}
    body = {"prompt": every, "response_format": {"json_schema": deep}, every: [], "long": ["x" * 9999] * 15}
    with Recorder(in_pieces([b'{"result": {}}'], "application/json"), f"it's\\{NASTY[:60]}") as recorder:
        snippets = made(recorder.url, body, recorder.token.replace("\n", ""))
        for name in ("curl", "javascript-fetch"):
            (tmp_path / name).mkdir()
            output = run_snippet(name, snippets[name]["code"], recorder, tmp_path / name)
            assert recorder.asked, output
            assert exactly(recorder.asked.pop().body) == exactly(body)
    given = arguments(snippets["python-cloudflare"]["code"])
    assert given.pop("account_id") == "local"
    assert exactly(given) == exactly(body)
    given = arguments(snippets["python-openai"]["code"])
    assert given["messages"][0]["content"] == every
    for name in ("javascript-fetch", "worker"):
        code = snippets[name]["code"]
        assert "</script" not in code
        assert "<!--" not in code
    for snippet in snippets.values():
        assert not set("\x7f\x85\u200d\u2028\u2029\u202e\ufeff\U000e0041") & set(snippet["code"])
        assert "\n" not in snippet["note"]


def test_a_stream_in_pieces(tmp_path: Path) -> None:
    said = "über 😀\u2028\x85 ." + "x" * 99
    text = json.dumps({"response": said}, ensure_ascii=False).encode()
    events = b": ping\n\ndata: " + text + b'\n\ndata: {"response":" end","p":"ab"}\n\n'
    events += b'data: {"response":"","usage":{}}\n\ndata: [DONE]\n\n'
    in_characters = (events.index(b"\xf0") + 2, events.index(b"\xe2\x80\xa8") + 1)
    between_events = [at + 2 for at in range(len(events)) if events[at:].startswith(b"\n\n")]
    bounds = sorted({0, 3, 10, 24, *in_characters, events.index(b" end"), len(events) - 1, *between_events})
    pieces = [events[first:last] for first, last in pairwise(bounds)]
    for name in ("python-cloudflare", "javascript-fetch"):
        with Recorder(in_pieces(pieces)) as recorder:
            code = made(recorder.url, {"prompt": "a", "stream": True})[name]["code"]
            assert run_snippet(name, code, recorder, tmp_path) == f"{said} end\n"


async def outputs(served: Served | LiveServer, body: Any, folder: Path) -> dict[str, str]:
    """What each program prints."""
    snippets = await asyncio.to_thread(made, served.url, body)
    folders = {name: folder / name for name in PROGRAMS}
    for each in folders.values():
        each.mkdir(parents=True)
    runs = (
        asyncio.to_thread(run_snippet, name, snippets[name]["code"], served, folders[name])
        for name in PROGRAMS
    )
    return dict(zip(PROGRAMS, await asyncio.gather(*runs), strict=True))


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_calls_are_printed(serve: Serve, tmp_path: Path, stream: bool) -> None:
    async with serve(FakeEngine(answer=f"Let me look. {CALL} {CALL}")) as served:
        said = await outputs(served, {**ASKING, "stream": stream}, tmp_path)
    whole = said.pop("curl")
    if stream:
        called = [json.loads(event) for event in sse_events(whole)[:-1]]
        calls = [call for event in called for call in event.get("tool_calls", [])]
    else:
        calls = json.loads(whole)["result"]["tool_calls"]
    assert [call["arguments"] for call in calls] == [ARGUMENTS] * 2
    for output in said.values():
        text, *calls = output.splitlines()
        assert text.strip() == "Let me look."
        for call in calls:
            name, _, given = call.partition(" ")
            assert (name, json.loads(given)) == ("get_weather", ARGUMENTS)
        assert len(calls) == 2


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_json_is_printed_as_json(serve: Serve, tmp_path: Path, stream: bool) -> None:
    async with serve(FakeEngine(answer=json.dumps(BERLIN))) as served:
        plain = await outputs(served, {**IN_JSON, "stream": stream}, tmp_path / "plain")
        with_tools = await outputs(served, {**IN_JSON, **ASKING, "stream": stream}, tmp_path / "tools")
    for said in (plain, with_tools):
        whole = said.pop("curl")
        if not stream:
            assert json.loads(whole)["result"]["response"] == BERLIN
        assert [json.loads(output) for output in said.values()] == [BERLIN] * 3


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_seen(server: LiveServer, tmp_path: Path, stream: bool) -> None:
    said = await outputs(server, {"prompt": "Hello", "lora": "nobody", "stream": stream}, tmp_path)
    for output in said.values():
        assert "5033" in output or "model_not_found" in output  # OpenAI's API has a word for it
        assert "Finetune nobody does not exist or is not accessible" in output


@pytest.mark.anyio
async def test_an_error_inside_a_stream_is_seen(serve: Serve, tmp_path: Path) -> None:
    engine = FakeEngine(endless=True, delay_s=0.005)
    async with serve(engine, limits={"request_deadline_s": 0.1}) as served:
        said = await outputs(served, {"prompt": "Hello", "stream": True, "max_tokens": 999}, tmp_path)
    for output in said.values():
        assert "This" in output
        assert "3007" in output or "'timeout'" in output
        assert "not finished within" in output
