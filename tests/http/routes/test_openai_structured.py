"""`structured_outputs` over a real socket: the last look at an answer, and what an engine lacks."""

from typing import Any

import pytest

from app.engines.fake import FakeEngine
from tests.conftest import Serve
from tests.http.routes.test_compatible_apis import BODIES, ROOT, data_of

pytestmark = pytest.mark.anyio

PATHS = ("chat/completions", "completions", "responses")
CHOICE = {"structured_outputs": {"choice": ["yes", "no"]}}


class WithGrammars(FakeEngine):
    """Says that it keeps to them, so that they are tried out before; it does not."""

    compiles_grammars = True
    has = frozenset({"min_p", "stop_token_ids", "bad_words"})


@pytest.mark.parametrize("path", PATHS)
async def test_a_choice(serve: Serve, path: str) -> None:
    for said, status in (("yes", 200), ("maybe", 400), ("yes no", 400)):
        async with serve(FakeEngine(answer=said)) as served:
            answer = await served.client.post(f"{ROOT}/{path}", json={**BODIES[path], **CHOICE})
            assert answer.status_code == status, answer.text
            streamed = await served.client.post(
                f"{ROOT}/{path}", json={**BODIES[path], **CHOICE, "stream": True}
            )
            assert ("not one that the choice allows" in data_of(streamed.text)[-1]) == (status == 400)
            if status == 400:
                assert answer.json()["errors"][0]["code"] == 5024


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "more",
    [
        {"structured_outputs": {"regex": "a+"}},
        {"structured_outputs": {"grammar": 'root ::= "a"'}},
        {"structured_outputs": {"structural_tag": {"format": {"type": "const_string", "value": "a"}}}},
        {"min_p": 0.5},
        {"stop_token_ids": [5]},
        {"bad_words": ["a"]},
    ],
)
async def test_what_the_engine_lacks_is_refused(serve: Serve, path: str, more: dict[str, Any]) -> None:
    async with serve() as served:
        answer = await served.client.post(f"{ROOT}/{path}", json={**BODIES[path], **more})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 5006)
        assert "is not supported: the engine of this model does not have it" in answer.text


async def test_what_it_has_is_served_and_tried_out(serve: Serve) -> None:
    async with serve(WithGrammars(answer="aaa")) as served:

        async def send(**more: Any) -> tuple[int, str]:
            answer = await served.client.post(f"{ROOT}/chat/completions", json={**BODIES[PATHS[0]], **more})
            return answer.status_code, answer.text

        for right in ({"regex": "a+"}, {"grammar": 'root ::= "a" root | "a"'}):
            assert (await send(structured_outputs=right))[0] == 200
        status, text = await send(structured_outputs={"regex": "b+"})
        assert (status, "not one that the regex allows" in text) == (400, True)
        for wrong in ({"regex": "(a"}, {"grammar": "main ::= x"}, {"grammar": "start: x"}):
            status, text = await send(structured_outputs=wrong)
            assert (status, f"made of the {next(iter(wrong))}: " in text or "not a JSON schema" in text) == (
                400,
                True,
            )
        assert (await send(min_p=0.5, stop_token_ids=[5], bad_words=["a"]))[0] == 200
        status, text = await send(stop_token_ids=[10**6])
        assert (status, "must be below 32000" in text) == (400, True)
