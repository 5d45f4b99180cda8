from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.adapters.lifecycle import Finetunes
from app.adapters.local_blobs import LocalBlobs
from app.adapters.resolver import Resolver
from app.adapters.store import AdapterStore
from app.errors import (
    AdapterRefused,
    FinetuneIncomplete,
    FinetuneNotFound,
    FinetuneRefused,
    LoraIncompatible,
    OutOfCapacity,
)
from app.types import StoredAdapter
from tests.adapters.make import TINY, good
from tests.adapters.test_lifecycle import broken, create, fill

pytestmark = pytest.mark.anyio
MODEL = "@cf/m"


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def resolver(store: AdapterStore, clock: Clock) -> Resolver:
    return Resolver(store, clock)


@pytest.fixture
def stored(store: AdapterStore, tmp_path: Path) -> StoredAdapter:
    return store.add("acme", "one", MODEL, "w", good().write(tmp_path / "source"), TINY, public=True)


async def test_names_ids_and_public_ids(resolver: Resolver, stored: StoredAdapter) -> None:
    assert await resolver.resolve("acme", "one", MODEL, "w") == stored
    assert await resolver.resolve("acme", stored.id, MODEL, "w") == stored
    assert await resolver.resolve("beta", stored.id, "another card", "w") == stored


@pytest.mark.parametrize("lora", ["two", "", "../one", "x" * 10_000])
async def test_unknown_names(lora: str, resolver: Resolver, stored: StoredAdapter) -> None:
    with pytest.raises(FinetuneNotFound):
        await resolver.resolve("acme", lora, MODEL, "w")


async def test_names_of_other_accounts(resolver: Resolver, stored: StoredAdapter) -> None:
    with pytest.raises(FinetuneNotFound):
        await resolver.resolve("beta", "one", MODEL, "w")


async def test_other_weights(resolver: Resolver, stored: StoredAdapter) -> None:
    with pytest.raises(LoraIncompatible, match="one was made for @cf/m"):
        await resolver.resolve("acme", "one", "@hf/other", "other-weights")


async def test_other_weights_of_the_same_model(resolver: Resolver, stored: StoredAdapter) -> None:
    with pytest.raises(
        LoraIncompatible, match="one was made for other weights of @cf/m than are served: create"
    ):
        await resolver.resolve("acme", "one", MODEL, "other-weights")


async def test_a_removal_elsewhere_takes_effect_within_half_a_second(
    resolver: Resolver, stored: StoredAdapter, database: Engine, tmp_path: Path, clock: Clock
) -> None:
    await resolver.resolve("acme", "one", MODEL, "w")
    AdapterStore(database, LocalBlobs(tmp_path / "data" / "adapters")).remove("acme", "one")
    clock.now_s += 0.49
    assert await resolver.resolve("acme", "one", MODEL, "w") == stored
    clock.now_s += 0.02
    with pytest.raises(FinetuneNotFound):
        await resolver.resolve("acme", "one", MODEL, "w")


async def test_an_addition_takes_effect_at_once(
    resolver: Resolver, store: AdapterStore, tmp_path: Path
) -> None:
    with pytest.raises(FinetuneNotFound):
        await resolver.resolve("acme", "late", MODEL, "w")
    late = store.add("acme", "late", MODEL, "w", good().write(tmp_path / "source"), TINY)
    assert await resolver.resolve("acme", "late", MODEL, "w") == late


async def test_vanished_files_never_reach_the_engine(
    resolver: Resolver, stored: StoredAdapter, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await resolver.resolve("acme", "one", MODEL, "w")
    (stored.folder / "adapter_model.safetensors").unlink()
    clock.now_s += 0.5
    with pytest.raises(FinetuneNotFound):
        await resolver.resolve("acme", "one", MODEL, "w")
    assert "its files are gone" in caplog.text


async def test_a_draft_says_why_it_cannot_be_used(
    resolver: Resolver, finetunes: Finetunes, tmp_path: Path
) -> None:
    draft = create(finetunes)
    with pytest.raises(FinetuneIncomplete, match="upload adapter_config"):
        await resolver.resolve("acme", "one", MODEL, "w")
    draft = fill(finetunes, draft, broken(tmp_path / "broken"))
    with pytest.raises(OutOfCapacity, match="is being checked"):
        await resolver.resolve("acme", draft.id, MODEL, "w")
    with pytest.raises(AdapterRefused):
        finetunes.finish(draft, TINY)
    with pytest.raises(FinetuneRefused, match="r is 64"):
        await resolver.resolve("acme", "one", MODEL, "w")
    with pytest.raises(FinetuneNotFound):
        await resolver.resolve("beta", draft.id, MODEL, "w")


async def test_changes_in_this_process_are_seen_at_once(
    resolver: Resolver, store: AdapterStore, tmp_path: Path
) -> None:
    old = store.add("acme", "one", MODEL, "w", good().write(tmp_path / "a"), TINY)
    assert await resolver.resolve("acme", "one", MODEL, "w") == old
    new = store.add("acme", "one", MODEL, "w", good(("o_proj",)).write(tmp_path / "b"), TINY, replace=True)
    assert await resolver.resolve("acme", "one", MODEL, "w") == old
    resolver.forget()
    assert await resolver.resolve("acme", "one", MODEL, "w") == new
