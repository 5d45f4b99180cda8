"""A server process whose files may not grow: the write itself fails, and nothing else does."""

import resource
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.settings import CHECKOUT
from tests.http.forms import CONTENT_TYPE, asset_form
from tests.http.uploads import left_in, said, told
from tests.live.server import HF, LiveServer
from tests.server.test_process import FAKE

FINETUNES = "/client/v4/accounts/local/ai/finetunes"
PIRATE = CHECKOUT / "adapters" / "pirate"
FILE_MAX_BYTES = 3_000_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    live = LiveServer(tmp_path / "data", FAKE).start().wait_ready()
    yield live
    assert live.stop() == 0


def test_a_write_that_fails(server: LiveServer) -> None:
    process = psutil.Process(server.server_process().pid)
    process.rlimit(psutil.RLIMIT_FSIZE, (FILE_MAX_BYTES, resource.RLIM_INFINITY))
    server.client.post(FINETUNES, json={"model": HF, "name": "mine"})
    path = f"{FINETUNES}/mine/finetune-assets"
    headers = {"content-type": CONTENT_TYPE}
    config, weights = ((PIRATE / name).read_bytes() for name in (CONFIG_FILE, WEIGHTS_FILE))
    assert (
        server.client.post(path, content=asset_form(CONFIG_FILE, config), headers=headers).status_code == 200
    )
    kept = left_in(server.data_dir)
    assert len(kept) == 1
    for _ in range(3):
        large = asset_form(WEIGHTS_FILE, b"x" * (4 * FILE_MAX_BYTES))
        answer = server.client.post(path, content=large, headers=headers)
        assert told(answer) == (507, 5092)
        assert "adapter files: File too large; check room and permissions" in said(answer)
        assert str(server.data_dir) not in answer.text
        assert left_in(server.data_dir) == kept
    assert server.run({"prompt": "a", "lora": "pirate"}).status_code == 200
    process.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    answer = server.client.post(path, content=asset_form(WEIGHTS_FILE, weights), headers=headers)
    assert answer.json()["result"]["state"] == "ready"
    assert server.run({"prompt": "a", "lora": "mine"}).status_code == 200


def test_bad_forms_do_not_fill_the_log(server: LiveServer) -> None:
    """A line per broken request would."""
    server.client.post(FINETUNES, json={"model": HF, "name": "mine"})
    for _ in range(50):
        answer = server.client.post(
            f"{FINETUNES}/mine/finetune-assets", content=b"nonsense", headers={"content-type": CONTENT_TYPE}
        )
        assert told(answer) == (400, 3003)
    assert (server.data_dir / "server.log").read_text().count("\n") < 10
