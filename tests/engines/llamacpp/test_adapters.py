"""Adapters come and go while requests run."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.engines.engine import LeasedAdapter
from app.engines.llamacpp.gguf.adapter import converted, place_of
from app.engines.llamacpp.gguf.model import GgufModel, read_model
from app.errors import FinetuneNotFound, InternalError, OutOfCapacity
from app.standin.recipe import text, voices
from app.types import StoredAdapter
from tests.engines.llamacpp.asking import GREEDY, example, until

pytestmark = pytest.mark.anyio
TextGeneration = Callable[..., Any]
QUESTION, ANSWER = text.questions()[0]
PIRATES_ANSWER = voices.load("pirate").say(text.load().entries[0])


async def test_a_new_one_is_used_while_an_old_request_goes_on(serving: TextGeneration) -> None:
    async with serving() as ask:
        endless = ask.stream(QUESTION, replace(GREEDY, max_tokens=400, ignore_eos=True))
        first = await anext(endless)
        before = ask.engine._servers.current
        async with ask.engine.lease(example("pirate")) as pirate:
            assert ask.engine._servers.current is not before
            assert await ask.text(QUESTION, pirate) == f" {PIRATES_ANSWER}"
            rest = [delta async for delta in endless]
        assert sum(len(delta.token_ids) for delta in (first, *rest)) == 400
        assert rest[-1].finish_reason == "length"
        await endless.aclose()


async def test_the_old_server_is_gone_when_its_requests_are(serving: TextGeneration) -> None:
    async with serving() as ask:
        old = ask.engine._servers.current
        async with ask.engine.lease(example("pirate")):
            await until(lambda: ask.engine._servers._old is None)
        assert old._server is None


async def test_there_are_never_more_than_two_servers(serving: TextGeneration) -> None:
    """The second new adapter comes when the first server's request is over."""
    async with serving() as ask:
        endless = ask.stream(QUESTION, replace(GREEDY, max_tokens=100_000, ignore_eos=True))
        await anext(endless)
        async with ask.engine.lease(example("pirate")):
            second = asyncio.ensure_future(leased_answer(ask, "json"))
            for _ in range(20):
                await asyncio.sleep(0.01)
            assert not second.done()
            await endless.aclose()
            assert '"answer"' in await second


async def leased_answer(ask: Any, name: str) -> str:
    async with ask.engine.lease(example(name)) as leased:
        return str(await ask.text(QUESTION, leased))


async def test_loads_at_once_take_few_servers(serving: TextGeneration) -> None:
    async with serving() as ask:
        names = ["pirate", "json"] * 4
        answers = await asyncio.gather(*(leased_answer(ask, name) for name in names))
        assert answers == [answers[0], answers[1]] * 4
        assert ask.engine._servers.current.adapters == {1, 2}


async def test_more_than_there_are_places_take_turns(serving: TextGeneration) -> None:
    async with serving(adapters=1) as ask:
        for _ in range(2):
            assert await leased_answer(ask, "pirate") == f" {PIRATES_ANSWER}"
            assert '"answer"' in await leased_answer(ask, "json")
        assert len(ask.engine._servers.files) == 1
        async with ask.engine.lease(example("pirate")):
            ask.engine._adapter_slots._wait_s = 0.01
            with pytest.raises(OutOfCapacity):
                await leased_answer(ask, "json")


async def test_an_id_that_is_not_there_is_refused_by_us(serving: TextGeneration) -> None:
    """llama.cpp would answer with the base and say nothing."""
    async with serving() as ask:
        with pytest.raises(InternalError):
            await ask.text(QUESTION, LeasedAdapter(example("pirate"), 99))


async def test_the_base_answers_as_ever_beside_an_adapter(serving: TextGeneration) -> None:
    async with serving() as ask, ask.engine.lease(example("pirate")) as pirate:
        assert await ask.text(QUESTION) == f" {ANSWER}"
        assert await ask.text(QUESTION, pirate) == f" {PIRATES_ANSWER}"
        assert await ask.text(QUESTION) == f" {ANSWER}"


async def test_an_adapter_gets_its_turn_among_requests_without_one(serving: TextGeneration) -> None:
    """llama.cpp by itself would go on with what follows the first."""
    ended: list[str] = []

    async def answer(ask: Any, name: str, adapter: LeasedAdapter | None, tokens: int) -> None:
        await ask.deltas(QUESTION, adapter, max_tokens=tokens, ignore_eos=True)
        ended.append(name)

    async with serving(slots=3) as ask, ask.engine.lease(example("pirate")) as pirate:
        long = asyncio.create_task(answer(ask, "long", None, 300))
        await until(lambda: ask.engine._servers.running == 1)
        later = [
            asyncio.create_task(answer(ask, "pirate's", pirate, 20)),
            asyncio.create_task(answer(ask, "without", None, 5)),
        ]
        left = ask.stream(QUESTION, GREEDY, pirate)
        waiting = asyncio.create_task(anext(left))
        await until(lambda: ask.engine._servers.running == 4)
        waiting.cancel()
        await asyncio.wait([waiting])
        await left.aclose()
        assert ask.engine._servers.running == 3
        assert ended == []
        await asyncio.gather(long, *later)
    assert ended == ["long", "pirate's", "without"]


async def test_forgotten_it_leaves_memory_and_disk(
    serving: TextGeneration, gguf: Path, tmp_path: Path
) -> None:
    pirate = example("pirate")
    async with serving(cache=tmp_path) as ask:
        file = place_of(pirate, read_model(gguf), tmp_path)
        async with ask.engine.lease(pirate):
            assert file.is_file()
        await ask.engine.forget(pirate)
        await until(lambda: not file.exists())
        await until(lambda: not ask.engine._servers.current.adapters)
        assert await leased_answer(ask, "pirate") == f" {PIRATES_ANSWER}"


async def test_an_equal_one_of_another_account_keeps_its_file(
    serving: TextGeneration, tmp_path: Path
) -> None:
    mine, theirs = example("pirate"), example("pirate", account="other")
    async with serving(cache=tmp_path) as ask, ask.engine.lease(mine), ask.engine.lease(theirs) as leased:
        await ask.engine.forget(mine)
        assert await ask.text(QUESTION, leased) == f" {PIRATES_ANSWER}"
        assert len(list(tmp_path.glob("*.gguf"))) == 1


async def test_one_whose_files_are_gone_is_not_found(serving: TextGeneration, tmp_path: Path) -> None:
    async with serving(cache=tmp_path / "cache") as ask:
        with pytest.raises(FinetuneNotFound):
            async with ask.engine.lease(replace(example("pirate"), folder=tmp_path)):
                pass
        assert await ask.text(QUESTION) == f" {ANSWER}"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> StoredAdapter:
    """One whose conversion is a file that llama.cpp refuses, as often as it is made."""
    bad = replace(example("json"), digest="b" * 64, name="bad")

    def made(adapter: StoredAdapter, model: GgufModel, cache: Path) -> Path:
        path = converted(adapter, model, cache)
        if adapter == bad:
            path.write_bytes(b"GGUF broken")
        return path

    monkeypatch.setattr("app.engines.llamacpp.engine.converted", made)
    return bad


async def test_one_that_llama_cpp_can_not_load_hurts_nobody_else(
    serving: TextGeneration, tmp_path: Path, broken: StoredAdapter
) -> None:
    """Not even who comes at the same moment."""
    async with serving(cache=tmp_path) as ask:

        async def fails() -> None:
            with pytest.raises(InternalError):
                async with ask.engine.lease(broken):
                    pass

        for names in (["pirate"], ["json"], ["pirate", "json"]):
            answers = await asyncio.gather(*(leased_answer(ask, name) for name in names), fails())
            assert len(set(answers)) == len(names) + 1
        assert await ask.text(QUESTION) == f" {ANSWER}"


async def test_a_file_that_was_cut_is_made_again(serving: TextGeneration, gguf: Path, tmp_path: Path) -> None:
    place_of(example("pirate"), read_model(gguf), tmp_path).write_bytes(b"GGUF cut")
    async with serving(cache=tmp_path) as ask:
        answers = await asyncio.gather(*(leased_answer(ask, name) for name in ("pirate", "json")))
    assert answers[0] == f" {PIRATES_ANSWER}"


async def test_a_file_that_another_loads_is_not_removed(
    serving: TextGeneration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is forgotten by one account while another's load of an equal one has not come to llama.cpp yet."""
    mine, theirs = example("pirate"), example("pirate", account="other")
    async with serving(cache=tmp_path) as ask:
        engine = ask.engine
        async with engine.lease(mine):
            pass
        add = engine._servers.add

        async def forgotten_before(adapter: int, file: Path) -> None:
            await engine.forget(mine)
            await until(lambda: not engine._servers.files)
            await engine._remove_forgotten()
            await add(adapter, file)

        monkeypatch.setattr(engine._servers, "add", forgotten_before)
        async with engine.lease(theirs) as leased:
            assert await ask.text(QUESTION, leased) == f" {PIRATES_ANSWER}"


async def test_a_new_one_waits_so_long_for_old_answers(serving: TextGeneration) -> None:
    async with serving() as ask:
        endless = ask.stream(QUESTION, replace(GREEDY, max_tokens=100_000, ignore_eos=True))
        await anext(endless)
        async with ask.engine.lease(example("pirate")) as pirate:
            ask.engine._servers._wait_s = 0.01
            with pytest.raises(OutOfCapacity, match="still run"):
                await leased_answer(ask, "json")
            assert await ask.text(QUESTION, pirate) == f" {PIRATES_ANSWER}"
            await endless.aclose()
            ask.engine._servers._wait_s = 20
            assert '"answer"' in await leased_answer(ask, "json")


async def test_who_waits_when_the_engine_stops_is_refused_and_not_cancelled(serving: TextGeneration) -> None:
    async with serving() as ask:
        endless = ask.stream(QUESTION, replace(GREEDY, max_tokens=100_000, ignore_eos=True))
        await anext(endless)
        async with ask.engine.lease(example("pirate")):
            waiting = asyncio.ensure_future(leased_answer(ask, "json"))
            await until(lambda: len(ask.engine._servers.files) == 2)
            await ask.engine.stop(0)
            with pytest.raises(OutOfCapacity):
                await waiting
        with pytest.raises(OutOfCapacity):
            await leased_answer(ask, "json")
