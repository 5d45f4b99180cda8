"""One real server for all live tests: the real command, the real engine, the stand-in."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.live.browser import launched
from tests.live.server import LiveServer


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    server = LiveServer(tmp_path_factory.mktemp("live") / "data").start()
    try:
        yield server.wait_ready()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Of a module and not of the session: while it lives, its loop would be in the way of asynchronous tests."""
    with launched() as browser:
        yield browser


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start engines of their own come before those that share one: two at once would not fit."""
    items.sort(key=lambda item: item.get_closest_marker("engine") is not None)
    items.sort(key=lambda item: "live" in getattr(item, "fixturenames", ()))
