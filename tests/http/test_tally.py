"""app/http/tally.py: many events, one line a minute; and what strangers do over HTTP comes to no more."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from app.http.tally import Tally
from tests.conftest import Serve

pytestmark = pytest.mark.anyio


async def test_many_events_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "app")
    tally = Tally(0.05)
    for number in range(1000):
        tally.count("birds" if number % 2 else "bees")
    assert not caplog.messages
    await asyncio.sleep(0.1)
    tally.count("birds")
    assert caplog.messages == ["in the last 0.05 s: 500 bees, 500 birds"]
    await asyncio.sleep(0.1)
    assert caplog.messages[1:] == ["in the last 0.05 s: 1 birds"]


STRANGERS: dict[str, dict[str, str]] = {
    "no token": {"authorization": ""},
    "an unknown one": {"authorization": f"Bearer ow_{'a' * 43}"},
    "none at all": {"authorization": "Bearer what"},
    "another scheme": {"authorization": "Basic eDp5"},
}
PATHS = (
    "/client/v4/accounts/local/ai/run/x",
    "/client/v4/accounts/other/ai/finetunes",
    "/run",
    "/nowhere",
    "/",
)


async def test_requests_without_a_valid_token_are_summed(
    serve: Serve, caplog: pytest.LogCaptureFixture, times: Callable[[int], int]
) -> None:
    async with serve() as served:
        caplog.set_level(logging.INFO, "app")
        caplog.clear()
        served.app.tally._tell_s = 0.5  # a minute is long for a test
        sent = 0
        for _ in range(times(2000)):
            for headers in STRANGERS.values():
                for path in PATHS[:-1]:
                    answer = await served.client.post(path, headers=headers, json={})
                    assert answer.status_code in (400, 401)
                    sent += 1
        await asyncio.sleep(0.6)
        told = [line for line in caplog.messages if "without a valid token" in line]
        assert sum(int(line.partition("s: ")[2].split()[0]) for line in told) == sent
        assert len(caplog.messages) == len(told) < sent / 10
