"""A data directory that a program of schema version 1 left, killed in the middle of things; and what it has to become.

It was made by that program's own code: two accounts with tokens and adapters, drafts in every state, rows of an addition
and a removal that were killed, and of a draft that was killed while it became ready.
"""

import shutil
from pathlib import Path

from sqlalchemy import Engine, select

from app.accounts.tokens import TokenStore
from app.adapters.finetune import Draft, state_of
from app.adapters.lifecycle import Finetunes
from app.adapters.store import AdapterStore
from app.database.tables import ADAPTERS

OLD_DATA_DIR = Path(__file__).parents[1] / "fixtures" / "data_dir_1"
TOKEN = "ow_dsYDi4F8G5xdDbqIa-R-XArrEGtJIcM5JelebF0vL6I"
READY = {("acme", "one"), ("beta", "one")}
PENDING = {
    ("acme", "unfinished", "unfinished"),
    ("acme", "one", "checking"),
    ("acme", "refused", "refused"),
    ("acme", "promoted", "checking"),
    ("beta", "empty", "unfinished"),
}
REFUSED_FOR = (
    "adapter_config.json: r is 64, must be a whole number from 1 to 32; train with a rank in that range"
)


def old_data_dir(place: Path) -> Path:
    """A copy to work on."""
    shutil.copytree(OLD_DATA_DIR, place)
    place.chmod(0o700)
    (place / "outworker.db").chmod(0o600)
    return place


def assert_old_data(database: Engine) -> None:
    """All that an account could see is there, as it was."""
    tokens = TokenStore(database)
    caller = tokens.find(TOKEN)
    assert caller is not None
    assert caller.account_id == "acme"
    assert {(token.account_id, token.name) for token in tokens.list()} == {("acme", "laptop"), ("beta", "")}
    with database.connect() as connection:
        rows = connection.execute(select(ADAPTERS)).all()
    ready = {(row.account_id, row.name) for row in rows if row.state == "ready"}
    assert ready == READY


def assert_finetunes(store: AdapterStore) -> None:
    """What is ready has its files, and what is not is in the state that it was in."""
    finetunes = Finetunes(store)
    found = [finetune for account in ("acme", "beta") for finetune in finetunes.list(account)]
    drafts = [finetune for finetune in found if isinstance(finetune, Draft)]
    assert {(draft.account_id, draft.name, state_of(draft)) for draft in drafts} == PENDING
    assert [draft.findings for draft in drafts if draft.findings] == [(REFUSED_FOR,)]
    assert [draft.name for draft in drafts if draft.replaces] == ["one"]
    adapters = store.list("acme") + store.list("beta")
    assert {(adapter.account_id, adapter.name) for adapter in adapters} == READY
    assert all(store.files_present(adapter) for adapter in adapters)
    assert (adapters[0].description, adapters[0].public, adapters[0].rank) == ("says ahoy", True, 4)
