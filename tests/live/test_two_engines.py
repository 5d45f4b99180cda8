"""Two engines in one server: they start one after the other, and one that is lost ends both."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from app.standin.expand import ensure_expanded
from tests.live.server import CF, HF, SETTINGS, LiveServer

pytestmark = [pytest.mark.engine, pytest.mark.soak]

GIVE_UP_S = 3
"""Less than vLLM needs to start."""


def two_engines(folder: Path) -> Path:
    """The stand-in in vLLM, and as a folder in transformers: equal weights would share an engine."""
    weights = ensure_expanded(folder / "weights")
    text = SETTINGS.read_text().replace(
        f'name = "{CF}"\n', f'name = "{CF}"\nengine = "transformers"\nweights = "{weights}"\n'
    )
    settings = folder / "two.toml"
    settings.write_text(f"{text}\nengine_give_up_s = {GIVE_UP_S}\n")
    return settings


def test_both_start_and_a_lost_one_ends_the_server(tmp_path: Path, times: Callable[[int], int]) -> None:
    """Again and again, because importing vLLM and transformers at once failed in one start of eight. Status 1 is for
    systemd to act on.
    """
    settings = two_engines(tmp_path)
    for number in range(times(8)):
        server = LiveServer(tmp_path / f"data-{number}", settings).start()
        try:
            server.wait_ready()
            ask = {"prompt": "What is Outworker?", "temperature": 0}
            texts = {server.run(ask, model).json()["result"]["response"] for model in (HF, CF)}
            assert len(texts) == 1, texts
            core = [process for process in server.engine_processes() if "EngineCore" in process.name()]
            for process in core:
                process.kill()
            assert server.process.wait(60) == 1
            assert any(f"could not be started again for {GIVE_UP_S} s" in line for line in server.lines)
            assert psutil.wait_procs(core, timeout=10)[1] == []
        finally:
            server.stop()
