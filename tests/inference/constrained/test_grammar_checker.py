"""app.inference.constrained.grammar_checker: what xgrammar compiles in time reaches the engine, and nothing else."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from app.errors import JsonModeUnmet
from app.inference.constrained.grammar_checker import Grammars
from app.inference.constrained.worker_pool import WorkerPool
from app.types import Grammar

pytestmark = pytest.mark.anyio

FINE = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
# Reading its pattern alone takes longer than everything else here.
SLOW = {"type": "string", "pattern": "^((.{1,1000}){1,1000}){1,1000}$"}


def of(schema: Any) -> Grammar:
    return Grammar(json_schema=orjson.dumps(schema).decode())


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def shared(standin_folder: Path) -> AsyncIterator[Grammars]:
    """Starting the child takes seconds: tests that leave it alive share one."""
    before = set(psutil.Process().children())
    grammars = Grammars(lambda: standin_folder)
    yield grammars
    await grammars.stop()
    assert set(psutil.Process().children()) <= before


async def reason(grammars: Grammars, grammar: Grammar) -> str:
    with pytest.raises(JsonModeUnmet) as unmet:
        await grammars.admit(grammar)
    return str(unmet.value).removeprefix("No grammar can be made of the schema: ")


@pytest.mark.parametrize(
    "schema",
    [
        FINE,
        {},
        {"type": "array", "items": {"type": "integer", "multipleOf": 3}, "uniqueItems": True},
        {"allOf": [{"type": "string"}, {"enum": ["yes", "no"]}]},
        {"not": {"type": "object"}},
        {"type": "string", "pattern": "^(a+)+$"},
        {"type": "integer", "minimum": -1e40},
        SLOW,
        {"type": "object", "properties": {"child": {"$ref": "#"}}},
    ],
)
async def test_fine(shared: Grammars, schema: dict[str, Any]) -> None:
    await shared.admit(of(schema))


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "#"}, "no JSON can satisfy it: "),
        ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, "no JSON can satisfy it: "),
        (
            {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}, "required": ["a"]},
            "no JSON can ",
        ),
        ({"type": "string", "minLength": 5, "maxLength": 1}, "no JSON can satisfy it: "),
        ({"enum": [f"the value number {index}" for index in range(9000)]}, "its grammar takes "),
    ],
)
async def test_refused_with_the_reason(shared: Grammars, schema: dict[str, Any], why: str) -> None:
    text = await reason(shared, of(schema))
    assert why in text
    assert "/project" not in text
    assert len(text) < 200


async def test_structural_tags(shared: Grammars) -> None:
    tag = {
        "type": "tag",
        "begin": "<a>",
        "content": {"type": "json_schema", "json_schema": FINE},
        "end": "</a>",
    }
    await shared.admit(
        Grammar(structural_tag=orjson.dumps({"type": "structural_tag", "format": tag}).decode())
    )
    assert await reason(shared, Grammar(structural_tag="{"))


async def test_verdicts_are_remembered(shared: Grammars, monkeypatch: pytest.MonkeyPatch) -> None:
    await shared.admit(of(FINE))
    await reason(shared, of({"$ref": "#"}))

    async def unasked(job: dict[str, Any], limit_s: float, account_id: str) -> dict[str, Any]:
        raise AssertionError(job)

    monkeypatch.setattr(shared.pool, "ask", unasked)
    await shared.admit(of(FINE))
    assert await reason(shared, of({"$ref": "#"}))
    with pytest.raises(AssertionError):
        await shared.admit(of({"const": "new"}))


async def test_memory_of_verdicts_is_bounded(standin_folder: Path) -> None:
    grammars = Grammars(lambda: standin_folder, max_remembered=3)
    for number in range(5):
        await grammars.admit(of({"const": number}))
    assert len(grammars._verdicts) == 3
    await grammars.stop()


async def test_what_takes_too_long_is_refused(standin_folder: Path) -> None:
    grammars = Grammars(lambda: standin_folder, compile_max_s=0.0)
    assert await reason(grammars, of({"const": "slow"})) == "it took longer than 0 s: simplify it"
    await grammars.stop()


def pids_of(pool: WorkerPool) -> set[int]:
    return {worker.pid for worker in pool.workers if worker.pid is not None}


async def test_killed_children_are_replaced(standin_folder: Path) -> None:
    grammars = Grammars(lambda: standin_folder)
    await grammars.admit(of(FINE))
    (first,) = pids_of(grammars.pool)
    psutil.Process(first).send_signal(signal.SIGSTOP)
    grammars.compile_max_s = 0.1
    slow, waiting = of({"const": "slow"}), of({"const": "waiting"})
    slowly = asyncio.create_task(grammars.admit(slow))
    await asyncio.sleep(0)
    grammars.compile_max_s = 8.0
    await grammars.admit(waiting)  # by the other
    await slowly  # with a looser grammar, which was quick enough
    last = pids_of(grammars.pool)
    assert len(last) == 2
    assert first not in last
    await grammars.stop()
    assert not any(psutil.pid_exists(pid) for pid in last)
