"""app/http/names.py: `%2F` is a slash where a model's name stands, and a character of a name everywhere else."""

import pytest

from tests.conftest import CF, HF, Serve

pytestmark = pytest.mark.anyio

AI = "/client/v4/accounts/local/ai"


@pytest.mark.parametrize("slash", ["%2F", "%2f"])
async def test_in_a_models_name(serve: Serve, slash: str) -> None:
    async with serve() as served:
        for name in (HF, CF):
            for encoded in (name.replace("/", slash), name.replace("/", slash, 1), name.replace("@", "%40")):
                answer = await served.client.post(f"{AI}/run/{encoded}", json={"prompt": "a"})
                assert answer.status_code == 200, encoded
                answer = await served.client.get(f"{AI}/v1/models/{encoded}")
                assert answer.json()["id"] == name


@pytest.mark.parametrize("slash", ["%2F", "%2f"])
async def test_nowhere_else(serve: Serve, slash: str) -> None:
    """A proxy's rule on `/ai/finetunes/*/finetune-assets` or `/ai/run/*` must see what we see."""
    async with serve() as served:
        created = await served.client.post(f"{AI}/finetunes", json={"model": HF, "name": "mine"})
        mine = created.json()["result"]["id"]
        served.engine.aborted.clear()
        for method, path in (
            ("POST", f"{AI}/finetunes/{mine}{slash}finetune-assets"),
            ("DELETE", f"{AI}{slash}finetunes/{mine}"),
            ("DELETE", f"{AI}/finetunes{slash}{mine}"),
            ("GET", f"{AI}/finetunes{slash}public"),
            ("POST", f"{AI}{slash}run/{HF}"),
            ("POST", f"{AI}/run{slash}{HF}"),
            ("POST", f"/client{slash}v4/accounts/local/ai/run/{HF}"),
            ("POST", f"/client/v4/accounts/local{slash}ai/run/{HF}"),
            ("POST", f"/client/v4/accounts{slash}local/ai/run/{HF}"),
            ("POST", f"{AI}/v1{slash}chat/completions"),
            ("POST", f"{AI}/v1/chat{slash}completions"),
            ("GET", f"{AI}/models{slash}search"),
            ("GET", f"{slash}health"),
            ("GET", f"/playground{slash}main.js"),
        ):
            answer = await served.client.request(method, path, json={"prompt": "a"})
            assert answer.status_code in (400, 404, 405), path
            assert answer.json()["success"] is False
        listed = (await served.client.get(f"{AI}/finetunes")).json()["result"]
        assert [item["id"] for item in listed] == [mine]
