"""app/http/json_bounds.py: how much JSON, counted right inside and outside of texts, before a parser sees it."""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from app.engines.fake import FakeEngine
from app.errors import ApiError, IncompleteRequest, RequestTooLarge
from app.http.body import parse_json
from app.http.json_bounds import MAX_JSON_DEPTH, MAX_JSON_VALUES, check_json_bounds
from tests.conftest import Serve

BODY_BYTES = 9_900_000
STALL_S = 0.25


def filled(piece: bytes, head: bytes = b"[", tail: bytes = b"1]") -> bytes:
    return head + piece * ((BODY_BYTES - len(head) - len(tail)) // len(piece)) + tail


TOO_MUCH = {
    "lists": filled(b"[],"),
    "objects": filled(b"{},"),
    "numbers": filled(b"1,"),
    "texts": filled(b'"",'),
    "texts with quotes": filled(rb'"\"",'),
    "texts with backslashes": filled(rb'"\\",'),
    "properties": b"{" + b",".join(b'"%d":1' % number for number in range(800_000)) + b"}",
    "deep lists": filled(b"[" * 1000 + b"]" * 1000 + b","),
    "deep objects": filled(b'{"a":' * 900 + b"1" + b"}" * 900 + b","),
    "never closed": b"[" * BODY_BYTES,
    "behind a long text": b'["' + b"x" * 5_000_000 + b'",' + b"[]," * 1_500_000 + b"1]",
    "in a prompt": b'{"prompt":' + filled(b"1,") + b"}",
}
LONG_TEXTS = {
    "prose": b"Hello, world: it is [not] a {list}, is it? ",
    "code": rb"if (a[0] == \"x\") { b(1, \\2); }\n",
    "quotes": rb"\"",
    "backslashes": rb"\\",
    "backslash, quote": rb"\\\"",
    "umlauts": "äöü,€".encode(),
    "escapes": rb"\u4e2d,",
}


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_too_many_values_are_refused(kind: str) -> None:
    with pytest.raises(RequestTooLarge, match=str(MAX_JSON_VALUES)):
        check_json_bounds(TOO_MUCH[kind])


@pytest.mark.parametrize("kind", LONG_TEXTS)
def test_a_conversation_of_ten_megabytes_is_read(kind: str) -> None:
    text = filled(LONG_TEXTS[kind], b'{"messages":[{"role":"user","content":"', b'"}]}')
    assert parse_json(text) == json.loads(text)


def test_a_conversation_of_many_turns_is_read() -> None:
    turns = [{"role": "user", "content": f"{number}, [and] " + "so on, " * 80} for number in range(15_000)]
    text = json.dumps({"messages": turns}).encode()
    assert parse_json(text)["messages"] == turns


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"b,[":', "}]")])
def test_depth(opening: str, closing: str) -> None:
    levels = opening.count("[") + opening.count("{") - opening.count(",[")

    def nested(depth: int) -> bytes:
        return (opening * (depth // levels) + "1" + closing * (depth // levels)).encode()

    parse_json(nested(MAX_JSON_DEPTH))
    with pytest.raises(IncompleteRequest, match=f"at most {MAX_JSON_DEPTH} deep"):
        parse_json(nested(MAX_JSON_DEPTH + 2))
    wide = b"[" + b",".join([nested(MAX_JSON_DEPTH - 2)] * 20) + b"]"
    assert len(parse_json(wide)) == 20


def test_the_counts_are_a_parser_s(times: Callable[[int], int]) -> None:
    """Random values at both bounds' edges, compared with a count of what a parser makes of them."""
    dice = random.Random(15)
    for _ in range(times(2000)):
        value = random_value(dice, 6)
        text = json.dumps(value, ensure_ascii=bool(dice.randrange(2))).encode()
        values, depth = count(value), depth_of(value)
        padded = f'{{"padding": [{"0," * (MAX_JSON_VALUES - values - 6)}0], "value": '.encode() + text + b"}"
        check_json_bounds(padded)
        over = padded.replace(b"[0,", b"[0,0,0,0,0,0,0,0,", 1)
        with pytest.raises(RequestTooLarge):
            check_json_bounds(over)
        if 0 < depth <= MAX_JSON_DEPTH:
            more = MAX_JSON_DEPTH - depth
            check_json_bounds(b"[" * more + text + b"]" * more)
            with pytest.raises(IncompleteRequest):
                check_json_bounds(b"[" * (more + 1) + text + b"]" * (more + 1))


def random_value(dice: random.Random, deep: int) -> Any:
    kind = dice.randrange(6 if deep else 3)
    if kind < 3:
        letters = ('"', "\\", "[", "]", "{", "}", ",", ":", "a", "é", "\n", "\\\\")
        return "".join(dice.choices(letters, k=dice.randrange(9))) if kind else dice.randrange(100)
    inside = [random_value(dice, deep - 1) for _ in range(dice.randrange(1, 4))]
    return inside if kind < 5 else {f'"{number},[\\': value for number, value in enumerate(inside)}


def count(value: Any) -> int:
    """As the bound counts: commas, colons and openings outside of texts."""
    if isinstance(value, dict):
        return 2 * len(value) + sum(map(count, value.values()))
    return len(value) + sum(map(count, value)) if isinstance(value, list) else 0


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value)) if isinstance(value, list) else 0


ROUTES = (
    "/ai/run/@hf/mistral/mistral-7b-instruct-v0.2",
    "/ai/run",
    "/ai/v1/chat/completions",
    "/ai/v1/completions",
    "/ai/v1/responses",
    "/ai/v1/messages",
    "/ai/finetunes",
)


@pytest.mark.alone
@pytest.mark.anyio
@pytest.mark.parametrize("route", ROUTES)
async def test_no_body_stalls_the_loop_on_any_route(
    serve: Serve, route: str, times: Callable[[int], int]
) -> None:
    bodies = [*TOO_MUCH.values(), *(filled(text, b'{"x":"', b'"}') for text in LONG_TEXTS.values())]
    first = ROUTES.index(route)  # each route meets others, all of them in a soak
    async with serve(FakeEngine()) as served:
        gaps: list[float] = []
        watching = asyncio.create_task(watch(gaps))
        url = f"/client/v4/accounts/local{route}"
        for body in bodies[first :: len(ROUTES)] if times(40) == 1 else bodies:
            answer = await served.client.post(url, content=body)
            assert answer.status_code in (400, 413)
        watching.cancel()
        assert gaps
        if times(40) > 1:  # a soak has the machine to itself
            assert sorted(gaps)[len(gaps) * 9 // 10] < STALL_S


async def watch(gaps: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        before = loop.time()
        await asyncio.sleep(0.001)
        gaps.append(loop.time() - before)


@pytest.mark.parametrize("junk", [b"", b"[", b"]", b'"', b"\\", b'"\\', b"}{" * 300, b"]" * 500, b"[" * 500])
def test_what_is_no_json_is_refused_and_breaks_nothing(junk: bytes) -> None:
    with pytest.raises(ApiError):
        parse_json(junk)
