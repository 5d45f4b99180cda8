"""The programs of tests/clients/programs against the real engine: what the fake one can't show of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import ALL_PROGRAMS, Program
from tests.clients.situations import situations
from tests.clients.test_programs import FAILURES, check_failure
from tests.live.server import LiveServer

pytestmark = [pytest.mark.engine, pytest.mark.soak, pytest.mark.whole]

FIELDS = {"city": str, "people": int}


@pytest.fixture(scope="module")
def real(live: LiveServer, tmp_path_factory: pytest.TempPathFactory, standin_folder: Path) -> Iterator[str]:
    """Fake engines have only the server without room and the one that is asked for an object in words alone: the
    stand-in does not follow those, and nothing of the server's makes it.
    """
    with situations(tmp_path_factory.mktemp("situations"), standin_folder) as told:
        place = {"base": f"{live.url}/client/v4/accounts/local/ai", "token": live.token}
        yield json.dumps({**json.loads(told), "plain": place, "calling": place, "objects": place})


def check(way: dict[str, Any]) -> None:
    for part in {"text", "streamed", "lora"} & way.keys():
        assert way[part].strip(), part
    if "object" in way:
        assert {name: type(value) for name, value in way["object"].items()} == FIELDS
    if "tools" in way:
        assert way["tools"]["called"]["name"] == "get_weather"
        assert isinstance(way["tools"]["called"]["arguments"]["city"], str)
    for failures in way.get("failures", {}).values():
        for name in FAILURES:
            check_failure(name, failures[name])


@pytest.mark.parametrize("program", ALL_PROGRAMS, ids=str)
def test_a_client(program: Program, real: str, tmp_path: Path) -> None:
    told = program.run(real, tmp_path)
    assert told.keys() == program.ways.keys()
    for name, way in told.items():
        assert program.ways[name] <= way.keys()
        check(way)
