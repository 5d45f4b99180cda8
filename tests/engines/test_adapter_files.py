"""app/engines/adapter_files.py: what becomes of a load whose files go while they are read."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.engines.adapter_files import load_stored
from app.errors import FinetuneNotFound, InternalError, OutOfCapacity
from app.types import StoredAdapter
from tests.adapters.make import good

pytestmark = pytest.mark.anyio
Change = Callable[[Path], object]


def file_for_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


CHANGES: dict[str, Change] = {
    "the folder is deleted": shutil.rmtree,
    "the folder is moved away": lambda folder: folder.rename(folder.with_name("moved")),
    "the configuration is deleted": lambda folder: (folder / "adapter_config.json").unlink(),
    "the weights are deleted": lambda folder: (folder / "adapter_model.safetensors").unlink(),
    "a file takes its place": file_for_folder,
}
FAULTS = [FileNotFoundError("gone"), ValueError("no such file"), RuntimeError("worker failed"), KeyError("x")]


@pytest.fixture
def stored(tmp_path: Path) -> StoredAdapter:
    return StoredAdapter("id", "a", "n", "m", "w", "0" * 64, good().write(tmp_path / "adapter"), 4)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("change", CHANGES)
async def test_files_that_go_meanwhile_are_not_found_and_no_fault_of_ours(
    stored: StoredAdapter, change: str, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def load() -> None:
        CHANGES[change](stored.folder)
        raise fault

    with caplog.at_level(logging.INFO), pytest.raises(FinetuneNotFound):
        await load_stored(stored, load)
    assert not caplog.records


@pytest.mark.parametrize("change", CHANGES)
async def test_files_that_are_gone_are_not_looked_for(stored: StoredAdapter, change: str) -> None:
    async def load() -> None:
        raise AssertionError

    CHANGES[change](stored.folder)
    with pytest.raises(FinetuneNotFound):
        await load_stored(stored, load)


async def test_the_same_adapter_added_again_meanwhile_is_loaded(stored: StoredAdapter) -> None:
    tries = 0

    async def load() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            shutil.rmtree(stored.folder)
            good().write(stored.folder)
            raise FileNotFoundError

    await load_stored(stored, load)
    assert tries == 2


async def test_files_that_are_there_and_cannot_be_loaded_are_ours_to_mend(
    stored: StoredAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    async def load() -> None:
        raise FileNotFoundError("another file")

    with pytest.raises(InternalError):
        await load_stored(stored, load)
    assert "could not be loaded" in caplog.text


async def test_what_an_engine_says_itself_is_passed_on(stored: StoredAdapter) -> None:
    async def load() -> None:
        raise OutOfCapacity

    with pytest.raises(OutOfCapacity):
        await load_stored(stored, load)
