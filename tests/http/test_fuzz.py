"""Generated and mutilated bodies against a server process: no 5xx, no hang, every error out of the tree."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.catalog.cards import load_cards
from app.errors import AiError
from app.settings import CHECKOUT
from tests.catalog.test_validate import anything, changes, valid_for
from tests.http.test_envelope import leaves
from tests.live.server import CF, HF, LiveServer
from tests.server.test_process import FAKE

pytestmark = pytest.mark.soak

BODIES_PER_ROUTE = 20_000
CODES = {(kind.status, kind.code) for kind in leaves() if issubclass(kind, AiError)} - {(500, 3043)}
VALID = [
    {"prompt": "Say hello", "max_tokens": 3, "temperature": 0.5, "lora": "pirate", "stream": False},
    {"messages": [{"role": "user", "content": "é 😀"}], "max_tokens": 2, "raw": False, "tools": []},
    {"prompt": "a", "seed": 5, "top_k": 3, "top_p": 0.5, "response_format": {"type": "json_object"}},
]
HOSTILE = [
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-1e-999",
    b"9" * 400,
    b'"\\ud800"',
    b'"\\u0000"',
    b"[" * 10_000,
    b"[" * 500 + b"]" * 500,
    b'{"a":' * 600 + b"1" + b"}" * 600,
    b"\xff\xfe",
    b"\xf0\x28\x8c\x28",
    b"null",
    b"[]",
    b"{}",
    b'""',
    b"-0.0",
    b"1e5",
    b"true",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    live = LiveServer(tmp_path_factory.mktemp("fuzz") / "data", FAKE).start().wait_ready()
    yield live
    assert live.stop() == 0


def check(answer: httpx.Response) -> None:
    if answer.status_code == 200:
        assert answer.headers["content-type"] in ("application/json", "text/event-stream")
        return
    body = answer.json()
    assert (answer.status_code, body["errors"][0]["code"]) in CODES, body
    assert list(body) == ["errors", "success", "result", "messages"]
    assert "Traceback" not in answer.text
    assert len(answer.content) < 20_000


@pytest.mark.parametrize("model", [HF, CF])
def test_bodies_of_the_schema_and_near_it(
    server: LiveServer, model: str, times: Callable[[int], int]
) -> None:
    branches = load_cards(CHECKOUT / "schemas")[model].input.branches
    valid = st.one_of([valid_for(branch.node.schema) for branch in branches])
    near = st.tuples(valid, changes).map(lambda pair: {"max_tokens": 2} | pair[0] | pair[1])

    @settings(
        max_examples=times(BODIES_PER_ROUTE // 2), deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.one_of(valid, near, anything))
    def send(body: Any) -> None:
        try:
            content = json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            content = json.dumps(body).encode()
        check(server.client.post(server.path(model), content=content))

    send()


@pytest.mark.parametrize("seed", [1, 2])
def test_mutilated_bytes(server: LiveServer, seed: int, times: Callable[[int], int]) -> None:
    chance = random.Random(seed)
    paths = [server.path(HF), server.path(CF), "/client/v4/accounts/local/ai/run"]
    for _ in range(times(BODIES_PER_ROUTE // 2)):
        check(server.client.post(chance.choice(paths), content=mutilated(chance)))


def mutilated(chance: random.Random) -> bytes:
    body = dict(chance.choice(VALID))
    if chance.random() < 0.3:
        body = {"model": chance.choice([HF, "x"]), "input": body}
    text = json.dumps(body, ensure_ascii=chance.random() < 0.5).encode()
    match chance.randrange(6):
        case 0:  # a hostile value somewhere
            name = chance.choice(sorted(body)).encode()
            return text[:-1] + b', "' + name + b'": ' + chance.choice(HOSTILE) + b"}"
        case 1:  # cut short
            return text[: chance.randrange(len(text))]
        case 2:  # a byte changed
            at = chance.randrange(len(text))
            return text[:at] + bytes([chance.randrange(256)]) + text[at + 1 :]
        case 3:  # another encoding
            return text.decode().encode(chance.choice(["utf-16", "utf-32", "utf-8-sig"]))
        case 4:
            return chance.choice(HOSTILE)
        case _:  # a key twice
            return text[:-1] + b"," + text[1:]


@pytest.mark.parametrize("size", [9_900_000, 10_000_000, 30_000_000])
def test_ten_megabytes(server: LiveServer, size: int) -> None:
    answer = server.client.post(server.path(CF), content=b'{"prompt": "' + b"a " * (size // 2) + b'"}')
    check(answer)
    assert answer.json()["errors"][0]["code"] == (5021 if size < 10_000_000 else 3006)
    many = json.dumps({"messages": [{"role": "user", "content": "a"}] * (size // 40)})
    assert server.client.post(server.path(CF), content=many).status_code == 413
    broken = json.dumps({"messages": [{"role": "user", "content": 5}] * (size // 40)})
    assert server.client.post(server.path(), content=broken).status_code in (400, 413)
