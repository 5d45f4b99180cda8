import logging
from pathlib import Path

import pytest

from app.adapters.inspection.base_model import BaseShape
from app.adapters.lifecycle import Finetunes
from app.adapters.maintenance import tend_once
from app.adapters.store import AdapterStore
from app.errors import StartupError
from tests.adapters.make import TINY, good
from tests.adapters.test_lifecycle import broken, create, drafts_of, fill


def test_drafts_that_a_killed_server_left_are_decided(
    finetunes: Finetunes, store: AdapterStore, tmp_path: Path
) -> None:
    fill(finetunes, create(finetunes, "good"), good().write(tmp_path / "good"))
    fill(finetunes, create(finetunes, "bad"), broken(tmp_path / "bad"))
    create(finetunes, "unfinished")
    tend_once(finetunes, {"w": lambda: TINY})
    assert [adapter.name for adapter in store.list("acme")] == ["good"]
    left = {draft.name: draft.findings for draft in drafts_of(finetunes, "acme")}
    assert sorted(left) == ["bad", "unfinished"]
    assert "r is 64" in left["bad"][0]
    assert left["unfinished"] == ()


def test_other_weights_are_left_alone(finetunes: Finetunes, tmp_path: Path) -> None:
    draft = fill(finetunes, create(finetunes), good().write(tmp_path / "good"))
    tend_once(finetunes, {"other": lambda: TINY})
    assert finetunes.store.draft("acme", "one") == draft


def test_a_base_that_cannot_be_read_is_a_line_in_the_log(
    finetunes: Finetunes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def no_base() -> BaseShape:
        raise StartupError("config.json: gone; get the weights again")

    draft = fill(finetunes, create(finetunes), good().write(tmp_path / "good"))
    with caplog.at_level(logging.WARNING):
        tend_once(finetunes, {"w": no_base})
    assert "get the weights again" in caplog.text
    assert finetunes.store.draft("acme", "one") == draft
