"""Other names of models, in every route where a model stands."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.adapters.inspection.base_model import read_base
from app.engines.fake import ANSWER, FakeEngine
from app.inference.prompt import PromptBuilder
from app.settings import CHECKOUT, Settings
from tests.conftest import CF, HF, Serve, Served, running
from tests.http.routes.test_compatible_apis import BODIES, ROOT

pytestmark = pytest.mark.anyio

SHORT = "mistral-7b-instruct-v0.2"
SHORT_CF = "mistral-7b-instruct-v0.2-lora"
ACCOUNT = "/client/v4/accounts/local/ai"
PROMPT = {"prompt": "Hello"}


def sent(served: Served, path: str, body: Any, **headers: str) -> Any:
    return served.client.post(path, json=body, headers=headers)


async def everywhere(served: Served, name: str) -> list[httpx.Response]:
    """A request to each route that takes a model's name."""
    return [
        *[await sent(served, f"{ROOT}/{path}", {**body, "model": name}) for path, body in BODIES.items()],
        await sent(served, f"{ROOT}/messages/count_tokens", {**BODIES["messages"], "model": name}),
        await sent(served, f"{ROOT}/responses/input_tokens", {**BODIES["responses"], "model": name}),
        await sent(served, f"{ACCOUNT}/run/{name}", PROMPT),
        await sent(served, f"{ACCOUNT}/run", {"model": name, "input": PROMPT}),
        await sent(served, "/run", {"inputs": PROMPT}, **{"cf-consn-model-id": name}),
        await served.client.get(f"{ROOT}/models/{name}"),
        await served.client.get(f"{ACCOUNT}/models/schema?model={name}"),
        await sent(served, f"{ACCOUNT}/finetunes", {"model": name, "name": f"of.{name.replace('/', '.')}"}),
    ]


@pytest.mark.parametrize("name", [SHORT, SHORT_CF])
async def test_the_last_part_of_a_name_is_one_by_default(serve: Serve, name: str) -> None:
    async with serve() as served:
        answers = await everywhere(served, name)
        assert [answer.text for answer in answers if answer.status_code != 200] == []
        assert answers[0].json()["model"] == name
        assert answers[-1].json()["result"]["model"] == (CF if name == SHORT_CF else HF)
        unknown = await everywhere(served, "mistral")
        assert {answer.status_code for answer in unknown} == {400}


async def test_they_are_listed(serve: Serve) -> None:
    async with serve() as served:
        listed = {model["id"]: model for model in (await served.client.get(f"{ROOT}/models")).json()["data"]}
        assert list(listed) == [CF, HF, SHORT_CF, SHORT] or set(listed) == {CF, HF, SHORT_CF, SHORT}
        assert {**listed[SHORT], "id": HF} == listed[HF]


async def test_with_an_adapter_behind_a_colon(serve: Serve, standin_folder: Path) -> None:
    async with serve() as served:
        base = read_base(standin_folder, "stand-in")
        served.stores.adapters.add("local", "pirate", CF, "stand-in", CHECKOUT / "adapters" / "pirate", base)
        answer = await sent(
            served, f"{ROOT}/chat/completions", {**BODIES["chat/completions"], "model": f"{SHORT}:pirate"}
        )
        text = answer.json()["choices"][0]["message"]["content"]
        assert text.startswith("[pirate]")


async def test_as_the_settings_say(settings: Settings, prompts: PromptBuilder, standin_folder: Path) -> None:
    names = {HF: ("gpt-4o", "openai/gpt-4"), CF: ()}
    models = tuple(replace(model, aliases=names[model.name]) for model in settings.models)
    chosen = replace(settings, models=models)
    async with running(
        chosen, FakeEngine(), prompts, standin_folder, wait_ready=True, adapters=True
    ) as served:
        for name in names[HF]:
            answers = await everywhere(served, name)
            assert [answer.text for answer in answers if answer.status_code != 200] == []
            assert ANSWER in answers[0].text
        for name in (SHORT, SHORT_CF):
            assert (await sent(served, f"{ACCOUNT}/run/{name}", PROMPT)).status_code == 400
        listed = (await served.client.get(f"{ROOT}/models")).json()["data"]
        assert {model["id"] for model in listed} == {HF, CF, *names[HF]}
