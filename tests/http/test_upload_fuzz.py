"""Generated and mutilated bodies for creates and uploads against a server process: no 5xx, and nothing left over."""

import json
import random
import string
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import AiError
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.settings import CHECKOUT
from tests.http.forms import BOUNDARY, CONTENT_TYPE, asset_form, asset_parts, disposition, form
from tests.http.test_envelope import leaves
from tests.http.test_fuzz import BODIES_PER_ROUTE, HOSTILE
from tests.http.uploads import left_in
from tests.live.server import CF, HF, LiveServer
from tests.server.test_process import FAKE

pytestmark = pytest.mark.soak

CODES = {(kind.status, kind.code) for kind in leaves() if issubclass(kind, AiError) and kind.status != 500}
FINETUNES = "/client/v4/accounts/local/ai/finetunes"
PIRATE = CHECKOUT / "adapters" / "pirate"
EXAMPLES = {"pirate", "json"}


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """At the end it still serves, and its folder holds what its answers say and no more."""
    live = LiveServer(tmp_path_factory.mktemp("fuzz") / "data", FAKE).start().wait_ready()
    yield live
    assert live.run({"prompt": "a", "lora": "pirate"}).status_code == 200
    finetunes = live.client.get(FINETUNES).json()["result"]
    assert {finetune["state"] for finetune in finetunes} <= {"ready", "unfinished", "refused"}
    unfinished = {finetune["id"] for finetune in finetunes if finetune["state"] == "unfinished"}
    assert {path.split("/")[1] for path in left_in(live.data_dir)} <= unfinished
    assert "Traceback" not in (live.data_dir / "server.log").read_text()
    assert live.stop() == 0


def check(answer: httpx.Response) -> None:
    body = answer.json()
    if answer.status_code == 200:
        assert body["success"] is True
        return
    assert list(body) == ["errors", "success", "result", "messages"]
    assert (answer.status_code, body["errors"][0]["code"]) in CODES, body
    assert "Traceback" not in answer.text
    assert "/" + "tmp" not in answer.text
    assert body["errors"][0]["message"].isprintable()
    assert len(answer.content) < 20_000


def create(server: LiveServer, content: bytes) -> None:
    """What was created is deleted again, else the hundredth would end the test."""
    answer = server.client.post(FINETUNES, content=content)
    check(answer)
    if answer.status_code == 200:
        gone = server.client.delete(f"{FINETUNES}/{answer.json()['result']['id']}")
        assert gone.status_code == 200, (content, gone.text)


names = st.one_of(
    st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=70),
    st.text(max_size=70),
    st.uuids().map(str),
    st.sampled_from(["public", "Public", "cf-public-x", "pirate", "..", "a/b", "", "\0"]),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
bodies = st.fixed_dictionaries(
    {"model": st.sampled_from([HF, CF]) | st.text(max_size=40), "name": names},
    optional={
        "description": st.text(max_size=100) | st.just("é" * 2001) | st.none(),
        "public": st.booleans() | st.none(),
        "replace": st.booleans() | st.none(),
        "id": anything,
        "weights": anything,
    },
)
near = st.tuples(
    bodies, st.dictionaries(st.sampled_from(["model", "name", "description", "public", "replace"]), anything)
)


def test_bodies_of_a_create_and_near_it(server: LiveServer, times: Callable[[int], int]) -> None:
    @settings(
        max_examples=times(BODIES_PER_ROUTE // 2), deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.one_of(bodies, near.map(lambda pair: pair[0] | pair[1]), anything))
    def send(body: Any) -> None:
        create(server, json.dumps(body).encode())

    send()


def test_mutilated_bodies_of_a_create(server: LiveServer, times: Callable[[int], int]) -> None:
    chance = random.Random(1)
    for _ in range(times(BODIES_PER_ROUTE // 2)):
        body = {"model": HF, "name": "n", "description": "é 😀", "public": True, "replace": False}
        create(server, mutilated_json(chance, body))


def mutilated_json(chance: random.Random, body: dict[str, Any]) -> bytes:
    text = json.dumps(body, ensure_ascii=chance.random() < 0.5).encode()
    match chance.randrange(5):
        case 0:
            name = chance.choice(sorted(body)).encode()
            return text[:-1] + b', "' + name + b'": ' + chance.choice(HOSTILE) + b"}"
        case 1:
            return chance.choice(HOSTILE)
        case 2:
            return text.decode().encode(chance.choice(["utf-16", "utf-32", "utf-8-sig"]))
        case _:
            return mutilated(chance, text, [b'"', b"\\", b"{", b"}", b"\\u0000", b"\xff"])


def mutilated(chance: random.Random, data: bytes, fragments: list[bytes]) -> bytes:
    """Cut, changed or with something put in, once or a few times."""
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
            case 2:
                data = data[:at] + chance.choice(fragments) + data[at:]
            case _:
                data = data[:at] + data[at + chance.randrange(40) :]
    return data


FRAGMENTS = [
    b"\r\n--" + BOUNDARY + b"\r\n",
    b"\r\n--" + BOUNDARY + b"--",
    b"--" + BOUNDARY,
    b"\r\n\r\n",
    b"\r\n",
    b"\0",
    b'"',
    disposition("file"),
    disposition("file_name"),
    CONFIG_FILE.encode(),
    WEIGHTS_FILE.encode(),
    *HOSTILE,
]
CONTENT_TYPES = [
    "",
    "text/plain",
    "multipart/form-data",
    "multipart/form-data; boundary=" + "b" * 5000,
    'multipart/form-data; boundary="',
    "multipart/form-data; boundary=\xff",
    "multipart/form-data;" + ";" * 5000,
    "multipart/mixed; boundary=" + BOUNDARY.decode(),
]


def test_mutilated_uploads(server: LiveServer, times: Callable[[int], int]) -> None:
    """Of whole adapters too: some are taken, and one is complete now and then."""
    chance = random.Random(2)
    files = {name: (PIRATE / name).read_bytes() for name in (CONFIG_FILE, WEIGHTS_FILE)}
    small = {CONFIG_FILE: files[CONFIG_FILE], WEIGHTS_FILE: files[WEIGHTS_FILE][:20_000]}
    created = answers = 0
    for number in range(times(BODIES_PER_ROUTE)):
        if number % 10 == 0:
            body = {"model": HF, "name": "target", "replace": True}
            assert server.client.post(FINETUNES, json=body).status_code == 200
            created += 1
        source = files if chance.random() < 0.1 else small
        answer = server.client.post(
            f"{FINETUNES}/target/finetune-assets",
            content=asset_body(chance, source),
            headers={b"content-type": content_type(chance)},
        )
        check(answer)
        answers += answer.status_code == 200
    assert answers > created // 4


def content_type(chance: random.Random) -> bytes:
    """Mostly the right one: other refusals come first otherwise."""
    return (CONTENT_TYPE if chance.random() < 0.9 else chance.choice(CONTENT_TYPES)).encode("latin-1")


def asset_body(chance: random.Random, files: dict[str, bytes]) -> bytes:
    name = chance.choice(sorted(files))
    data = files[name]
    match chance.randrange(6):
        case 0:
            return asset_form(name, data)
        case 1:
            return asset_form(name, mutilated(chance, data, FRAGMENTS))
        case 2:
            return asset_form(chance.choice(FRAGMENTS), data)
        case 3:
            parts = asset_parts(name, data) * 2
            return form(chance.sample(parts, chance.randrange(len(parts) + 1)))
        case _:
            return mutilated(chance, asset_form(name, data), FRAGMENTS)
