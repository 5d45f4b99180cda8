"""A visit for each test."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.live.playground.visit import Visit, visiting
from tests.live.server import LiveServer


@pytest.fixture
def visit(chromium: Browser, live: LiveServer) -> Iterator[Visit]:
    """The playground, open."""
    with visiting(chromium, live) as visit:
        yield visit.open()
