"""What a new engine and a new dialect take: one file each, and one line that registers it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from app.accounts.development import TOKEN_FILE
from app.settings import CHECKOUT

SETTINGS = '[[models]]\nname = "@hf/mistral/mistral-7b-instruct-v0.2"\nengine = "toy"\n'


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.toml").write_text(SETTINGS)
    command = [sys.executable, "-m", "tests.toy.serve", "--config", str(folder / "toy.toml")]
    environment = {**os.environ, "OUTWORKER_DATA_DIR": str(folder / "data"), "PORT": "0"}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("starting on http://"), (folder / "log").read_text()
        while "ready" not in (line := process.stdout.readline().lower()):
            assert line, (folder / "log").read_text()
        url = first.split()[2]
        token = (folder / "data" / TOKEN_FILE).read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=f"{url}/client/v4/accounts/local/ai", headers=headers) as client:
            yield client
        process.terminate()
        assert process.wait(20) == 0


def test_the_engine_answers_every_dialect(client: httpx.Client) -> None:
    native = client.post("/run/@hf/mistral/mistral-7b-instruct-v0.2", json={"prompt": "Hello"})
    answer = native.json()["result"]
    assert answer["response"] == f"{answer['usage']['prompt_tokens']} tokens"
    body = {"model": "mistral-7b-instruct-v0.2", "messages": [{"role": "user", "content": "Hello"}]}
    chat = client.post("/v1/chat/completions", json=body)
    assert chat.json()["choices"][0]["message"]["content"] == answer["response"]


def test_the_dialect_is_answered_streamed_counted_and_refused(client: httpx.Client) -> None:
    assert client.post("/toy", json={"say": "Hello"}).text.endswith(" tokens")
    streamed = client.post("/toy/", json={"say": "Hello", "stream": True})
    number = client.post("/toy/count", json={"say": "Hello"}).json()["tokens"]
    assert streamed.headers["content-type"] == "text/event-stream"
    assert streamed.text == f"data: {number}\n\ndata:  tokens\n\ndata: {number + 2} tokens in all\n\n"
    refused = client.post("/toy", json={"shout": "Hello"})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, 5006)
    assert client.post("/toy", json={"say": "x"}, headers={"authorization": "Bearer no"}).status_code == 401


def test_settings_know_the_engine_only_where_it_is_registered() -> None:
    program = (
        "import tests.toy.serve\n"
        "from app.settings.table import TABLE\n"
        "print([row.schema['enum'] for row in TABLE if row.name == 'models[].engine'])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert "'toy'" in shown.stdout
