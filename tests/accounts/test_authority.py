import pytest
from sqlalchemy import Engine

from app.accounts.tokens import TokenCache, TokenStore
from app.database.opening import open_database
from app.types import Caller

pytestmark = pytest.mark.anyio


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def test_a_revocation_by_another_process_takes_effect(store: TokenStore, database: Engine) -> None:
    clock = Clock()
    authority = TokenCache(store, clock)
    token_id, token = store.create("acme", ["ai:read"])
    elsewhere = open_database(database.url)
    assert await authority.caller(token) == Caller("acme", frozenset({"ai:read"}))
    TokenStore(elsewhere).revoke(token_id)
    elsewhere.dispose()
    clock.now_s = 0.49
    assert await authority.caller(token) is not None
    clock.now_s = 0.51
    assert await authority.caller(token) is None


async def test_a_new_token_works_at_once(store: TokenStore) -> None:
    authority = TokenCache(store, Clock())
    assert await authority.caller("ow_" + "A" * 43) is None
    _, token = store.create("acme", ["ai:write"])
    assert await authority.caller(token) is not None


@pytest.mark.parametrize("token", ["", "Bearer", "ow_short", "ow_" + "\ud800" * 43, "x" * 100_000])
async def test_malformed_tokens_ask_nobody(token: str) -> None:
    authority = TokenCache(_Untouchable(), Clock())  # type: ignore[arg-type]
    assert await authority.caller(token) is None


class _Untouchable:
    def find_sha256(self, token_sha256: str) -> Caller | None:
        raise AssertionError(token_sha256)
