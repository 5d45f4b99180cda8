"""One server with the fake engine for all the clients, an adapter that it takes and one that it refuses."""

import json
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.clients.finetunes import CONFIG, PIRATE
from tests.clients.situations import situations
from tests.live.server import CHECKOUT, LiveServer


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    settings = CHECKOUT / "wrangler-like-config" / "fake-engine.toml"
    server = LiveServer(tmp_path_factory.mktemp("clients") / "data", settings).start()
    try:
        yield server.wait_ready()
    finally:
        server.stop()


@pytest.fixture(scope="package")
def situation(tmp_path_factory: pytest.TempPathFactory, standin_folder: Path) -> Iterator[str]:
    """The argument of the programs in tests/clients/programs: servers that answer, call, refuse."""
    with situations(tmp_path_factory.mktemp("situations"), standin_folder) as told:
        yield told


@pytest.fixture(scope="package")
def alphas() -> Iterator[int]:
    return count(33)  # the adapter of the checkout itself has 32


@pytest.fixture
def adapter(tmp_path: Path, alphas: Iterator[int]) -> Path:
    """A folder with an adapter like no other test's: the same files twice would be one adapter to the engine."""
    folder = Path(shutil.copytree(PIRATE, tmp_path / "adapter"))
    change_config(folder, lora_alpha=next(alphas))
    return folder


@pytest.fixture
def rank_64(tmp_path: Path) -> Path:
    """A good adapter under a configuration that says a rank of 64, twice what is allowed."""
    folder = Path(shutil.copytree(PIRATE, tmp_path / "rank-64"))
    change_config(folder, r=64)
    return folder


def change_config(folder: Path, **values: int) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **values}))
