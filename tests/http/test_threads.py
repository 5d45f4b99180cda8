"""What waits for the database keeps nobody else waiting: who is calling, looks, answers."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import HF, Serve, Served

pytestmark = pytest.mark.anyio

FINETUNES = "/client/v4/accounts/local/ai/finetunes"


@contextmanager
def locked(served: Served) -> Iterator[None]:
    """Another process writes and writes."""
    other = sqlite3.connect(served.settings.server.data_dir / "outworker.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


CHANGES: dict[str, Callable[[Served, int], object]] = {
    "creates": lambda served, number: served.client.post(
        FINETUNES, json={"model": HF, "name": f"new-{number}", "description": "x"}
    ),
    "deletes": lambda served, number: served.client.delete(f"{FINETUNES}/old-{number}"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_locked_database_holds_up_only_its_changes(
    serve: Serve, change: str, times: Callable[[int], int]
) -> None:
    """Every token is a new one, so that each request needs its look."""
    async with serve() as served:
        count = max(40, times(80))
        for number in range(count if change == "deletes" else 0):
            made = await served.client.post(
                FINETUNES, json={"model": HF, "name": f"old-{number}", "description": "x"}
            )
            assert made.status_code == 200
        tokens = [served.stores.tokens.create("local", ["ai:read"])[1] for _ in range(20)]
        with locked(served):
            waiting = [
                asyncio.ensure_future(CHANGES[change](served, number))  # type: ignore[call-overload]
                for number in range(count)
            ]
            await asyncio.sleep(0.2)
            for token in tokens:
                headers = {"authorization": f"Bearer {token}"}
                assert (await served.run({"prompt": "a"}, headers=headers)).status_code == 200
                assert (await served.client.get(FINETUNES, headers=headers)).status_code == 200
                for words in (3_000, 50_000):  # tokenized in a thread, parsed in one
                    long = await served.run({"prompt": "a, " * words}, headers=headers)
                    assert long.status_code in (400, 413)
            still = sum(not task.done() for task in waiting)
        answers = await asyncio.gather(*waiting)
        assert still > count // 2, "the lock was gone before the others were answered"
        assert {answer.status_code for answer in answers} <= {200, 401, 429, 507}
        assert all(json.loads(answer.content) for answer in answers)


async def test_a_locked_database_makes_no_code_wait_that_does_not_work(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve() as served:
        code = served.stores.page_codes.make()
        with locked(served):
            answer = await served.client.post("/playground/token", json={"code": code})
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
            unknown = [served.client.post("/playground/token", json={"code": "c" * 43}) for _ in range(40)]
            assert {answer.status_code for answer in await asyncio.gather(*unknown)} == {401}
        assert (await served.client.post("/playground/token", json={"code": code})).status_code == 200
        assert not [record for record in caplog.records if record.exc_info]
