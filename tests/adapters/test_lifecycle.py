from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, update

from app.adapters import rows
from app.adapters.finetune import Draft
from app.adapters.lifecycle import Finetunes
from app.adapters.rows import AdapterRow
from app.adapters.store import AdapterStore
from app.database.tables import ADAPTERS
from app.errors import AdapterRefused, FinetuneNotFound, OperatorError, RequestTooLarge, StorageError
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from tests.adapters.make import TINY, good


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return good().write(tmp_path / "source")


def create(finetunes: Finetunes, name: str = "one", account: str = "acme", **more: Any) -> Draft:
    return finetunes.create(account, name, "@cf/m", "w", **more)


def drafts_of(finetunes: Finetunes, account: str) -> list[Draft]:
    return [found for found in finetunes.list(account) if isinstance(found, Draft)]


def send(finetunes: Finetunes, draft: Draft, file_name: str, data: bytes) -> Draft:
    with finetunes.asset_file(len(data), 0) as asset_file:
        for start in range(0, len(data), 1000):
            asset_file.write(data[start : start + 1000])
        return finetunes.put(draft, file_name, asset_file)


def fill(finetunes: Finetunes, draft: Draft, folder: Path) -> Draft:
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        draft = send(finetunes, draft, name, (folder / name).read_bytes())
    return draft


def broken(folder: Path) -> Path:
    return good(r=64).write(folder)


def on_disk(tmp_path: Path) -> list[str]:
    root = tmp_path / "data" / "adapters"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_two_assets_and_an_inspection_make_an_adapter(
    finetunes: Finetunes, store: AdapterStore, source: Path, tmp_path: Path
) -> None:
    draft = create(finetunes, description="d", public=True)
    assert draft.missing == (CONFIG_FILE, WEIGHTS_FILE)
    assert not draft.complete
    draft = send(finetunes, draft, CONFIG_FILE, (source / CONFIG_FILE).read_bytes())
    assert draft.missing == (WEIGHTS_FILE,)
    draft = send(finetunes, draft, WEIGHTS_FILE, (source / WEIGHTS_FILE).read_bytes())
    assert draft.complete
    assert store.find("acme", "one") is None
    adapter, notes = finetunes.finish(draft, TINY)
    assert (adapter.id, adapter.created_at) == (draft.id, draft.created_at)
    assert (adapter.description, adapter.public, adapter.rank) == ("d", True, 4)
    assert notes == ()
    assert store.find("acme", draft.id) == store.find("acme", "one") == adapter
    assert finetunes.store.draft("acme", "one") is None
    assert on_disk(tmp_path) == sorted(
        f"acme/{adapter.digest}/{name}" for name in (CONFIG_FILE, WEIGHTS_FILE)
    )


def test_the_same_bytes_give_the_digest_that_a_folder_gives(
    finetunes: Finetunes, store: AdapterStore, source: Path
) -> None:
    sent, _ = finetunes.finish(fill(finetunes, create(finetunes), source), TINY)
    added = store.add("acme", "two", "@cf/m", "w", source, TINY)
    assert sent.digest == added.digest
    assert sent.folder == added.folder


def test_notes_reach_the_owner(finetunes: Finetunes, tmp_path: Path) -> None:
    folder = good(model_type=None).write(tmp_path / "s")
    _, notes = finetunes.finish(fill(finetunes, create(finetunes), folder), TINY)
    assert len(notes) == 1
    assert "model_type is absent" in notes[0]


def test_a_refused_one_keeps_its_findings_and_no_bytes(
    finetunes: Finetunes, store: AdapterStore, tmp_path: Path
) -> None:
    draft = fill(finetunes, create(finetunes), broken(tmp_path / "s"))
    with pytest.raises(AdapterRefused, match="r is 64"):
        finetunes.finish(draft, TINY)
    refused = finetunes.store.draft("acme", "one")
    assert refused is not None
    assert "r is 64" in refused.findings[0]
    assert not refused.complete
    assert store.find("acme", "one") is None
    assert on_disk(tmp_path) == []
    with pytest.raises(OperatorError, match="was refused: create it again"):
        send(finetunes, refused, CONFIG_FILE, b"{}")


def test_findings_are_bounded(finetunes: Finetunes, tmp_path: Path) -> None:
    keys: dict[str, Any] = {f"use_{number}": "x" for number in range(50)}
    draft = fill(finetunes, create(finetunes), good(**keys).write(tmp_path / "s"))
    with pytest.raises(AdapterRefused, match="and 49 more"):
        finetunes.finish(draft, TINY)
    refused = finetunes.store.draft("acme", "one")
    assert refused is not None
    assert len(refused.findings) == 20


@pytest.mark.parametrize("state", ["unfinished", "refused"])
def test_a_new_one_takes_the_name_of_one_that_is_not_ready(
    state: str, finetunes: Finetunes, tmp_path: Path, source: Path
) -> None:
    old = send(finetunes, create(finetunes), CONFIG_FILE, b"{}")
    if state == "refused":
        with pytest.raises(AdapterRefused):
            finetunes.finish(send(finetunes, old, WEIGHTS_FILE, b"x"), TINY)
    new = create(finetunes)
    assert new.id != old.id
    assert drafts_of(finetunes, "acme") == [new]
    assert on_disk(tmp_path) == []
    with pytest.raises(OperatorError, match="deleted meanwhile"):
        send(finetunes, old, WEIGHTS_FILE, b"x")
    assert on_disk(tmp_path) == []
    finetunes.finish(fill(finetunes, new, source), TINY)


def test_the_name_of_a_ready_one_is_taken(finetunes: Finetunes, source: Path) -> None:
    finetunes.finish(fill(finetunes, create(finetunes), source), TINY)
    with pytest.raises(OperatorError, match="one of this name; delete it"):
        create(finetunes)
    create(finetunes, account="beta")


def test_replacing_a_ready_one_takes_effect_when_the_new_one_is_ready(
    finetunes: Finetunes, store: AdapterStore, source: Path, tmp_path: Path
) -> None:
    old, _ = finetunes.finish(fill(finetunes, create(finetunes), source), TINY)
    draft = fill(finetunes, create(finetunes, replaces=True), good(("o_proj",)).write(tmp_path / "s2"))
    assert store.find("acme", "one") == old
    new, _ = finetunes.finish(draft, TINY)
    assert store.find("acme", "one") == new
    assert store.find("acme", old.id) is None
    assert on_disk(tmp_path) == sorted(f"acme/{new.digest}/{name}" for name in (CONFIG_FILE, WEIGHTS_FILE))


def test_replacing_by_the_same_bytes_keeps_them(
    finetunes: Finetunes, store: AdapterStore, source: Path, tmp_path: Path
) -> None:
    old, _ = finetunes.finish(fill(finetunes, create(finetunes), source), TINY)
    new, _ = finetunes.finish(fill(finetunes, create(finetunes, replaces=True), source), TINY)
    assert new.id != old.id
    assert new.digest == old.digest
    assert store.files_present(new)
    assert store.list("acme") == [new]


def test_a_name_that_was_taken_meanwhile_refuses_the_draft(
    finetunes: Finetunes, store: AdapterStore, source: Path, tmp_path: Path
) -> None:
    draft = fill(finetunes, create(finetunes), source)
    there = store.add("acme", "one", "@cf/m", "w", good(("o_proj",)).write(tmp_path / "s2"), TINY)
    with pytest.raises(AdapterRefused, match="one of this name"):
        finetunes.finish(draft, TINY)
    assert store.list("acme") == [there]
    refused = finetunes.store.draft("acme", draft.id)
    assert refused is not None
    assert "one of this name" in refused.findings[0]


def test_an_asset_may_be_sent_again_until_both_are_in(
    finetunes: Finetunes, store: AdapterStore, source: Path
) -> None:
    draft = create(finetunes)
    draft = send(finetunes, draft, CONFIG_FILE, b"not yet right")
    draft = send(finetunes, draft, CONFIG_FILE, (source / CONFIG_FILE).read_bytes())
    draft = send(finetunes, draft, WEIGHTS_FILE, (source / WEIGHTS_FILE).read_bytes())
    with pytest.raises(OperatorError, match="both its assets, which can't be replaced"):
        send(finetunes, draft, CONFIG_FILE, b"{}")
    finetunes.finish(draft, TINY)
    assert len(store.list("acme")) == 1


def test_100_ready_and_unfinished_ones_are_the_most(finetunes: Finetunes, source: Path) -> None:
    for number in range(98):
        create(finetunes, f"a{number}")
    finetunes.finish(fill(finetunes, create(finetunes, "ready"), source), TINY)
    create(finetunes, "a98")
    with pytest.raises(OperatorError, match="100 of at most 100, 99 of them unfinished"):
        create(finetunes, "a99")
    create(finetunes, "a5")
    create(finetunes, "ready", replaces=True)
    first = finetunes.store.draft("acme", "a0")
    assert first is not None
    finetunes.delete("acme", first.id)
    with pytest.raises(FinetuneNotFound):
        finetunes.delete("acme", first.id)


def test_refused_ones_do_not_count_and_only_the_newest_are_kept(store: AdapterStore) -> None:
    finetunes = Finetunes(AdapterStore(store.engine, store.blobs, max_adapters=1), refused_kept=3)
    for number in range(6):
        draft = create(finetunes, f"a{number}")
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            draft = send(finetunes, draft, name, b"x")
        with pytest.raises(AdapterRefused):
            finetunes.finish(draft, TINY)
    assert [draft.name for draft in drafts_of(finetunes, "acme")] == ["a3", "a4", "a5"]
    create(finetunes, "another")


def test_drafts_of_a_day_ago_expire(finetunes: Finetunes, database: Engine, tmp_path: Path) -> None:
    old, young = create(finetunes, "old"), create(finetunes, "young")
    send(finetunes, old, CONFIG_FILE, b"{}")
    with database.begin() as connection:
        long_ago = "2001-01-01T00:00:00.000+00:00"
        connection.execute(update(ADAPTERS).where(ADAPTERS.c.id == old.id).values(modified_at=long_ago))
    finetunes.drop_expired()
    assert drafts_of(finetunes, "acme") == [young]
    assert on_disk(tmp_path) == []


def test_a_draft_that_an_asset_reaches_while_it_expires_stays(
    finetunes: Finetunes, database: Engine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = create(finetunes)
    with database.begin() as connection:
        connection.execute(update(ADAPTERS).values(modified_at="2001-01-01T00:00:00.000+00:00"))
    look = rows.expired

    def asset_comes_after(connection: Connection, age_s: float) -> list[AdapterRow]:
        found = look(connection, age_s)
        fill(finetunes, draft, source)
        return found

    monkeypatch.setattr(rows, "expired", asset_comes_after)
    finetunes.drop_expired()
    adapter, _ = finetunes.finish(draft, TINY)
    assert finetunes.list("acme") == [adapter]


def test_accounts_do_not_see_each_other(finetunes: Finetunes) -> None:
    mine = create(finetunes)
    assert finetunes.store.draft("beta", mine.id) is None
    assert finetunes.store.draft("beta", "one") is None
    assert drafts_of(finetunes, "beta") == []
    assert finetunes.store.draft("acme", mine.id.upper()) == mine


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"name": "a b"}, "must be 1 to 64 characters"),
        ({"name": "cf-public-x"}, "reserved"),
        ({"name": "public"}, "reserved"),
        ({"name": "6f0ad1b1-5f2f-4a37-8a28-000000000000"}, "must not be a uuid"),
        ({"description": "x" * 2001}, "2001 characters"),
        ({"description": "caf\udce9"}, "not text in UTF-8"),
    ],
)
def test_what_cannot_be_created(changes: dict[str, Any], phrase: str, finetunes: Finetunes) -> None:
    with pytest.raises(OperatorError, match=phrase):
        create(finetunes, **changes)
    assert drafts_of(finetunes, "acme") == []


def test_an_abandoned_asset_file_leaves_nothing(finetunes: Finetunes, tmp_path: Path) -> None:
    create(finetunes)
    with finetunes.asset_file(10, 0) as asset_file:
        asset_file.write(b"half")
        assert len(on_disk(tmp_path)) == 1
    assert on_disk(tmp_path) == []


def test_a_configuration_is_small(finetunes: Finetunes, tmp_path: Path) -> None:
    draft = create(finetunes)
    send(finetunes, draft, CONFIG_FILE, b" " * 64_000)
    with pytest.raises(RequestTooLarge, match="must have at most 64000 bytes"):
        send(finetunes, draft, CONFIG_FILE, b" " * 64_001)


def test_the_disks_floor_is_kept(finetunes: Finetunes) -> None:
    draft = create(finetunes)
    with pytest.raises(StorageError, match="no room for it") as refused:
        finetunes.asset_file(1, 10**18).__enter__()
    assert "bytes are free, of which 1000000000000000000 are kept" in refused.value.figures
    assert finetunes.store.draft("acme", "one") == draft


def test_a_draft_that_was_deleted_while_it_was_checked(
    finetunes: Finetunes, store: AdapterStore, source: Path
) -> None:
    draft = fill(finetunes, create(finetunes), source)
    finetunes.delete(draft.account_id, draft.id)
    with pytest.raises(OperatorError, match="deleted meanwhile"):
        finetunes.finish(draft, TINY)
    assert store.list("acme") == []


def test_a_draft_whose_check_never_ended_is_undecided(finetunes: Finetunes, source: Path) -> None:
    create(finetunes, "unfinished")
    draft = fill(finetunes, create(finetunes), source)
    assert list(finetunes.undecided()) == [draft]
    finetunes.finish(draft, TINY)
    assert list(finetunes.undecided()) == []


def test_assets_are_private_and_the_senders_files_stay_theirs(
    finetunes: Finetunes, store: AdapterStore, source: Path, tmp_path: Path
) -> None:
    draft = send(finetunes, create(finetunes), WEIGHTS_FILE, (source / WEIGHTS_FILE).read_bytes())
    (asset,) = (tmp_path / "data" / "adapters" / ".drafts" / draft.id).iterdir()
    assert asset.stat().st_mode & 0o777 == 0o400
