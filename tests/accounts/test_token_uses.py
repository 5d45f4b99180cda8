"""app/accounts/token_uses.py: uses are noted in memory, and written now and then."""

import asyncio
from collections.abc import Mapping

import pytest
from sqlalchemy.exc import OperationalError

from app.accounts.token_uses import TokenUses
from app.accounts.tokens import TokenCache, TokenStore

pytestmark = pytest.mark.anyio


def clock() -> float:
    return 0.0


async def test_a_token_that_is_let_in_is_used(store: TokenStore) -> None:
    used, never = store.create("local", ["ai:read"]), store.create("local", ["ai:read"])
    uses = TokenUses(store.used)
    authority = TokenCache(store, clock, uses)
    for token in (used[1], used[1], "ow_" + "x" * 43, "nonsense"):
        await authority.caller(token)
    uses.flush()
    found = {record.id: record.last_used_at for record in store.list()}
    assert found[used[0]].endswith("+00:00")
    assert found[never[0]] == ""


async def test_many_uses_are_one_write_a_while(store: TokenStore) -> None:
    token_id, token = store.create("local", ["ai:read"])
    writes: list[Mapping[str, str]] = []

    def write(times: Mapping[str, str]) -> None:
        writes.append(times)
        store.used(times)

    uses = TokenUses(write, write_s=0.05)
    authority = TokenCache(store, clock, uses)
    task = asyncio.create_task(uses.watch())
    for _ in range(1000):
        await authority.caller(token)
    while not store.list()[0].last_used_at:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    task.cancel()
    assert [len(times) for times in writes] == [1]
    assert store.list()[0].id == token_id


def test_a_later_use_takes_the_place_of_an_earlier_one(store: TokenStore) -> None:
    store.create("local", ["ai:read"])
    caller = store.find(store.create("other", ["ai:read"])[1])
    assert caller is not None
    for at in ("2026-01-01T00:00+00:00", "2026-01-02T00:00+00:00"):
        store.used({caller.token_sha256: at, "0" * 64: at})
    assert [record.last_used_at for record in store.list("other")] == ["2026-01-02T00:00+00:00"]
    assert [record.last_used_at for record in store.list("local")] == [""]


def test_a_database_that_takes_nothing_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def write(times: Mapping[str, str]) -> None:
        raise OperationalError("update", {}, Exception("database or disk is full"))

    uses = TokenUses(write)
    uses.note("0" * 64)
    uses.flush()
    assert "can't be written" in caplog.text
