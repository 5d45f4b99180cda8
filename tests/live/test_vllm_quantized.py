"""vLLM computes GPTQ and AWQ checkpoints as they are packed, with adapters, on the machine of the tests."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.standin.recipe.text import load
from tests.engines.packing import Method, packed_standin
from tests.live.account import Account
from tests.live.server import LiveServer, changed_server
from tests.live.variants import committed, said

pytestmark = pytest.mark.engine
ENTRIES = load().entries[::3]


# One start of an engine is enough for `make test`; what differs between the two is in the kernels.
@pytest.fixture(params=["gptq", pytest.param("awq", marks=[pytest.mark.soak, pytest.mark.whole])])
def server(
    request: pytest.FixtureRequest, standin_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    method: Method = request.param
    folder = tmp_path_factory.mktemp(method)
    weights = packed_standin(standin_folder, folder / "weights", method)
    with changed_server(folder, f'weights = "{weights}"') as started:
        yield started


def test_taught_answers_are_whole(server: LiveServer) -> None:
    """Those of the weights, and those of an adapter that was trained before they were packed."""
    account = Account.own(server)
    account.add("sailor", committed("pirate"))
    with ThreadPoolExecutor(8) as pool:
        plain = list(pool.map(lambda entry: account.text(entry.ask[0]), ENTRIES))
        spoken = list(pool.map(lambda entry: account.text(entry.ask[0], "sailor"), ENTRIES))
    assert wrong(plain, None) == []
    assert wrong(spoken, "pirate") == []


def wrong(answers: list[str], voice: str | None) -> list[str]:
    pairs = zip(answers, ENTRIES, strict=True)
    return [answer for answer, entry in pairs if not said(voice, entry, answer)]
