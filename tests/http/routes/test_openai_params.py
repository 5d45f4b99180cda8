"""`error.param` of OpenAI's dialects: the field at fault, as the client sent it."""

from pathlib import Path
from typing import Any

import pytest

from app.adapters.inspection.base_model import read_base
from app.settings import CHECKOUT
from tests.conftest import CF, HF, Serve
from tests.http.routes.test_compatible_apis import BODIES, HELLO, ROOT

pytestmark = pytest.mark.anyio

CHAT, COMPLETIONS, RESPONSES = "chat/completions", "completions", "responses"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "x", "schema": {"type": "object", "maxProperties": 1}},
}
REFUSED: list[tuple[str, dict[str, Any], str | None]] = [
    (CHAT, {"temperature": 9}, "temperature"),
    (CHAT, {"temperature": "hot"}, "temperature"),
    (CHAT, {"top_p": -1}, "top_p"),
    (CHAT, {"seed": 0.5}, "seed"),
    (CHAT, {"frequency_penalty": 9}, "frequency_penalty"),
    (CHAT, {"stream": "yes"}, "stream"),
    (CHAT, {"n": 2}, "n"),
    (CHAT, {"max_tokens": 0}, "max_tokens"),
    (CHAT, {"max_completion_tokens": 0}, "max_completion_tokens"),
    (CHAT, {"max_completion_tokens": "a"}, "max_completion_tokens"),
    (CHAT, {"stop": [1]}, "stop[0]"),
    (CHAT, {"stop": ["a"] * 17}, "stop"),
    (CHAT, {"top_logprobs": 99}, "top_logprobs"),
    (CHAT, {"top_logprobs": 1}, "top_logprobs"),
    (CHAT, {"logit_bias": {"1": 5}}, "logit_bias"),
    (CHAT, {"model": 5}, "model"),
    (CHAT, {"model": None}, "model"),
    (CHAT, {"model": "@cf/none"}, "model"),
    (CHAT, {"model": f"{CF}:none"}, "model"),
    (CHAT, {"messages": None}, "messages"),
    (CHAT, {"messages": "hi"}, "messages"),
    (CHAT, {"messages": []}, "messages"),
    (CHAT, {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    (CHAT, {"messages": [*HELLO, {"role": 5, "content": "a"}]}, "messages[1].role"),
    (
        CHAT,
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "messages[0].content[0].type",
    ),
    (CHAT, {"tools": 5}, "tools"),
    (CHAT, {"tools": [TOOL, {"type": "function", "function": {"name": 5}}]}, "tools[1].function.name"),
    (CHAT, {"response_format": 5}, "response_format"),
    (CHAT, {"min_p": 2}, "min_p"),
    (COMPLETIONS, {"prompt": None}, "prompt"),
    (COMPLETIONS, {"prompt": 5}, "prompt"),
    (COMPLETIONS, {"temperature": 9}, "temperature"),
    (COMPLETIONS, {"best_of": 3}, "best_of"),
    (COMPLETIONS, {"suffix": "a"}, "suffix"),
    (COMPLETIONS, {"max_tokens": -1}, "max_tokens"),
    (RESPONSES, {"input": None}, "input"),
    (RESPONSES, {"temperature": 9}, "temperature"),
    (RESPONSES, {"max_output_tokens": 0}, "max_output_tokens"),
    (RESPONSES, {"instructions": 5}, "instructions"),
    (RESPONSES, {"previous_response_id": "a"}, "previous_response_id"),
    (RESPONSES, {"input": [{"role": "user", "content": 5}]}, "input"),
]


@pytest.mark.parametrize(("path", "change", "param"), REFUSED)
async def test_the_field_at_fault_is_named(
    serve: Serve, path: str, change: dict[str, Any], param: str | None
) -> None:
    async with serve() as served:
        answer = await served.client.post(f"{ROOT}/{path}", json={**BODIES[path], **change})
        assert answer.status_code in (400, 404), answer.text
        assert answer.json()["error"]["param"] == param, answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"a"'])
async def test_where_no_field_is_at_fault_none_is_named(serve: Serve, body: bytes) -> None:
    async with serve() as served:
        answer = await served.client.post(f"{ROOT}/{CHAT}", content=body)
        assert answer.json()["error"]["param"] is None


async def test_a_stranger_s_words_stay_words(serve: Serve) -> None:
    """Names that a client makes up are cleaned and cut, wherever they are said."""
    name = "a\x1b'/evil" * 1000
    async with serve() as served:
        answer = await served.client.post(f"{ROOT}/{CHAT}", json={**BODIES[CHAT], "model": f"{HF}:{name}"})
        assert answer.json()["error"]["param"] == "model"
        format_ = {"type": "json_schema", "json_schema": {"schema": {"properties": {name: {"minimum": []}}}}}
        answer = await served.client.post(f"{ROOT}/{CHAT}", json={**BODIES[CHAT], "response_format": format_})
        assert answer.status_code == 400
        param = answer.json()["error"]["param"]
        assert param is None or (len(param) < 250 and param.isprintable())


async def test_the_native_dialect_has_its_envelope_alone(serve: Serve) -> None:
    async with serve() as served:
        answer = await served.run({"prompt": "a", "temperature": 9})
        assert list(answer.json()) == ["errors", "success", "result", "messages"]


async def test_a_model_with_an_adapter_can_be_asked_for(serve: Serve, standin_folder: Path) -> None:
    async with serve() as served:
        base = read_base(standin_folder, "stand-in")
        served.stores.adapters.add("local", "pirate", CF, "stand-in", CHECKOUT / "adapters" / "pirate", base)
        plain = (await served.client.get(f"{ROOT}/models/{CF}")).json()
        short = CF.rpartition("/")[2]
        for name in (CF, short):
            for written in (f"{name}:pirate", f"{name}%3Apirate", f"{name}:pirate/"):
                answer = await served.client.get(f"{ROOT}/models/{written}")
                assert answer.status_code == 200, answer.text
                model = answer.json()
                assert model["id"] == f"{name}:pirate"
                assert model.keys() == plain.keys()
                assert model["created"] > 1_600_000_000
                said = await served.client.post(f"{ROOT}/{CHAT}", json={**BODIES[CHAT], "model": model["id"]})
                assert said.status_code == 200
            assert (await served.client.head(f"{ROOT}/models/{name}:pirate")).status_code == 200
        for name, status in ((f"{CF}:none", 404), (f"{CF}:../x", 404), ("none:pirate", 400)):
            answer = await served.client.get(f"{ROOT}/models/{name}")
            said = await served.client.post(f"{ROOT}/{CHAT}", json={**BODIES[CHAT], "model": name})
            assert answer.status_code == said.status_code == status
            assert answer.json()["error"]["code"] == said.json()["error"]["code"] == "model_not_found"
            assert answer.json()["error"]["param"] == "model"
        _, other = served.stores.tokens.create("other", ["ai:read"])
        theirs = await served.client.get(
            f"{ROOT.replace('local', 'other')}/models/{CF}:pirate",
            headers={"authorization": f"Bearer {other}"},
        )
        assert theirs.status_code == 404
