"""What `hf_hub_download` does that `app.weights.huggingface` must not, and why it is not called there.

The hub's own client is run here, against the hub on loopback. When one of these tests fails, the client has been mended,
and our download may become a call of it.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download

from tests.hub.server import Hub
from tests.weights.conftest import GGUF_FILE, GGUF_REPOSITORY, LARGE, MIB, Puller, hub_client

QUIET = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
VARIANT = "gguf-Q4_K_M"
"""Whose file `GGUF_FILE` is."""

DOWNLOADS = """
import sys
from huggingface_hub import hf_hub_download
repository, file, folder = sys.argv[1:]
hf_hub_download(repository, file, local_dir=folder or None)
"""


@pytest.fixture(autouse=True)
def quiet(puller: Puller) -> None:
    puller.environment.update(QUIET)


@pytest.mark.parametrize("folder", [None, "weights"], ids=["cache", "local_dir"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_a_download_that_ended_early_begins_anew(
    puller: Puller, hub: Hub, tmp_path: Path, folder: str | None, end: signal.Signals
) -> None:
    """Ours asks for the rest: `test_a_killed_pull_leaves_nothing_that_is_used_and_the_next_goes_on`."""
    local_dir = tmp_path / folder if folder else None
    left = _ended_after_20_mib(puller, hub, tmp_path, local_dir, end)
    assert left.exists() == (end == signal.SIGKILL)  # what nobody uses and nobody removes
    with hub_client(puller.environ):
        place = hf_hub_download(GGUF_REPOSITORY, GGUF_FILE, local_dir=local_dir)
    assert Path(place).read_bytes() == LARGE
    assert hub.asked(GGUF_FILE)[-1].range is None
    assert left.exists() == (end == signal.SIGKILL)


def test_wrong_bytes_get_the_name_of_the_right_ones(puller: Puller, hub: Hub) -> None:
    """Ours throws them away: `test_a_wrong_checksum`. A check afterwards comes too late for whoever looks meanwhile, and
    never where the process ends before it. Through a `local_dir` it would come in time; the test above holds there too.
    """
    hub.corrupt.add(GGUF_FILE)
    with hub_client(puller.environ):
        place = Path(hf_hub_download(GGUF_REPOSITORY, GGUF_FILE))
    assert place.read_bytes() != LARGE
    assert puller.place(VARIANT) == str(place)


def _ended_after_20_mib(
    puller: Puller, hub: Hub, tmp_path: Path, local_dir: Path | None, end: signal.Signals
) -> Path:
    """Where the bytes were of a download in a process that is gone."""
    hub.stall_after[GGUF_FILE] = 21 * MIB
    arguments = [GGUF_REPOSITORY, GGUF_FILE, str(local_dir or "")]
    process = subprocess.Popen(
        [sys.executable, "-c", DOWNLOADS, *arguments], env=puller.environ, stderr=subprocess.DEVNULL
    )
    while not (left := [path for path in tmp_path.rglob("*.incomplete") if path.stat().st_size == 20 * MIB]):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(end)
    process.wait(20)
    del hub.stall_after[GGUF_FILE]
    return left[0]
