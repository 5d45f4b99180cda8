import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from app.accounts.tokens import TokenStore
from app.database.tables import TOKENS
from app.errors import OperatorError
from app.types import Caller


def test_a_token_serves_its_account(store: TokenStore) -> None:
    _, token = store.create("acme", ["ai:read"])
    assert store.find(token) == Caller("acme", frozenset({"ai:read"}))


def test_write_implies_read(store: TokenStore) -> None:
    token_id, token = store.create("acme", ["ai:write"])
    assert store.find(token) == Caller("acme", frozenset({"ai:read", "ai:write"}))
    (record,) = store.list("acme")
    assert (record.id, record.scopes) == (token_id, ("ai:write",))


def test_tokens_are_32_random_bytes(store: TokenStore) -> None:
    tokens = {store.create("acme", ["ai:read"])[1] for _ in range(20)}
    assert len(tokens) == 20
    for token in tokens:
        assert token.startswith("ow_")
        assert len(base64.urlsafe_b64decode(token[3:] + "=")) == 32


def test_the_database_has_no_token(store: TokenStore, database: Engine, tmp_path: Path) -> None:
    _, token = store.create("acme", ["ai:read"])
    with database.connect() as connection:
        row = connection.execute(select(TOKENS)).one()
    assert row.token_sha256 == hashlib.sha256(token.encode()).hexdigest()
    for file in tmp_path.glob("data/*"):
        assert token[3:].encode() not in file.read_bytes()


def test_lookup_uses_an_index(database: Engine) -> None:
    sqlite = database.dialect.name == "sqlite"
    with database.connect() as connection:
        if not sqlite:  # it would rather read a table of no rows
            connection.exec_driver_sql("SET enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN" if sqlite else "EXPLAIN"
        plan = connection.exec_driver_sql(f"{explain} SELECT * FROM tokens WHERE token_sha256 = 'x'").all()
    assert ("USING INDEX" if sqlite else "Index Scan") in str(plan)


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "A", lambda t: t[3:], lambda t: t.upper(), lambda t: ""]
)
def test_other_texts_are_no_tokens(change: Callable[[str], str], store: TokenStore) -> None:
    _, token = store.create("acme", ["ai:read"])
    assert store.find(change(token)) is None


@pytest.mark.parametrize(
    "text", ["ow_" + "\ud800" * 43, "ow_" + "é" * 43, "ow_" + "A" * 43 + "\n", "x" * 100_000]
)
def test_strange_texts_are_no_tokens(text: str, store: TokenStore) -> None:
    assert store.find(text) is None


def test_revoking(store: TokenStore) -> None:
    token_id, token = store.create("acme", ["ai:read"])
    _, kept = store.create("acme", ["ai:read"])
    store.revoke(token_id)
    assert store.find(token) is None
    assert store.find(kept) is not None
    with pytest.raises(OperatorError, match="no token has this id"):
        store.revoke(token_id)


def test_a_token_given_as_an_id_is_not_shown(store: TokenStore) -> None:
    _, token = store.create("acme", ["ai:read"])
    with pytest.raises(OperatorError) as refused:
        store.revoke(token)
    assert token not in str(refused.value)


def test_listing_by_account(store: TokenStore) -> None:
    ids = {account: store.create(account, ["ai:read"])[0] for account in ("acme", "beta")}
    assert [record.id for record in store.list("beta")] == [ids["beta"]]
    assert {record.id for record in store.list()} == set(ids.values())
    assert store.list("gamma") == []


@pytest.mark.parametrize("account", ["", "a b", "../x", "x" * 65, "é", "a\n"])
def test_impossible_account_ids(account: str, store: TokenStore) -> None:
    with pytest.raises(OperatorError, match=r"account id .* 1 to 64 characters") as refused:
        store.create(account, ["ai:read"])
    assert str(refused.value).isprintable()
    with pytest.raises(OperatorError, match="account id"):
        store.list(account)


@pytest.mark.parametrize("scopes", [[], ["ai:admin"], ["ai:read", "AI:WRITE"], [""]])
def test_impossible_scopes(scopes: list[str], store: TokenStore) -> None:
    with pytest.raises(OperatorError, match=r"scope.*use ai:read or ai:write"):
        store.create("acme", scopes)
