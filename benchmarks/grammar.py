"""Part "grammar": our writer of llama.cpp's grammars and xllamacpp's, on the corpus of schemas and on hard ones.

Each grammar is given to llama.cpp with the stand-in, and what it answers is judged by jsonschema-rs.
"""

import json
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

import orjson

from app.standin.gguf import ensure_gguf
from benchmarks.grammar_child import WRITERS, Answer, Question, Report
from benchmarks.hard_schemas import hard_schemas
from benchmarks.processes import Child
from benchmarks.report import Part, Sheet
from tests.inference.corpus import load
from tests.inference.corpus.judge import is_valid

ANSWERS = 2
MAX_TOKENS = 512
HARD_TOKENS = 64
LIMIT_S = 20.0
"""For one schema: its grammar and its answers."""
OUTCOMES = ("valid", "wrong", "no JSON", "cut", "refused", "killed")
NAMED = 12


@dataclass(frozen=True, slots=True)
class Result:
    """`report` is None where the process had to be killed, or died."""

    writer: str
    schema: str
    outcomes: list[str]
    report: Report | None


class Helper:
    """One writer's process; the next question starts another one where it had to be killed."""

    def __init__(self, writer: str, gguf: Path, log: Path) -> None:
        self._command = [sys.executable, "-m", "benchmarks.grammar_child", writer, str(gguf)]
        self._log = log
        self._open = ExitStack()
        self._child: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def ask(self, question: Question) -> Report | None:
        """None where it took longer than LIMIT_S, or more memory than it has. Raises BenchError."""
        if self._child is None:
            self._child = self._started()
        line = self._line(self._child, orjson.dumps(question) + b"\n")
        if not line:
            self._child.process.kill()
            self._child.process.wait(LIMIT_S)
            self._child = None
            self._open.close()
            return None
        content = orjson.loads(line)
        return Report(**{**content, "answers": [Answer(**answer) for answer in content["answers"]]})

    def _started(self) -> Child:
        child = self._open.enter_context(Child(self._command, self._log, talks=True))
        if not self._line(child, b""):
            raise child.failure("did not start")
        return child

    def _line(self, child: Child, question: bytes) -> bytes:
        """What it says to it; nothing where it is gone."""
        assert child.process.stdin is not None
        assert child.process.stdout is not None
        limit = threading.Timer(LIMIT_S, child.process.kill)
        limit.start()
        try:
            child.process.stdin.write(question)
            child.process.stdin.flush()
            return child.process.stdout.readline()
        except BrokenPipeError:
            return b""
        finally:
            limit.cancel()


def run(folder: Path) -> Part:
    gguf = ensure_gguf(folder)
    corpus = {case.name: case.schema for case in load()}
    results = [one for writer in WRITERS for one in _corpus(writer, gguf, corpus)]
    hard = [one for writer in WRITERS for one in _hard(writer, gguf)]
    return Part(
        name="grammar",
        title=f"Grammars of {len(corpus)} schemas, {ANSWERS} answers to each",
        columns=("grammars by", *OUTCOMES, "write ms (most)", "chars (most)", "ms a token"),
        rows=[_row(writer, _of(results, writer)) for writer in WRITERS],
        notes=[_note(writer, _of(results, writer)) for writer in WRITERS],
        samples=[asdict(result) for result in (*results, *hard)],
        more=[_hard_sheet(hard)],
    )


def _corpus(writer: str, gguf: Path, corpus: dict[str, Any]) -> list[Result]:
    with Helper(writer, gguf, gguf.parent / f"{writer}.log") as helper:
        return [
            _result(writer, name, schema, helper.ask(Question(schema, ANSWERS, MAX_TOKENS)))
            for name, schema in corpus.items()
        ]


def _hard(writer: str, gguf: Path) -> list[Result]:
    """In a process for each, whose memory is the schema's then. Any JSON counts as valid: these schemas keep
    jsonschema-rs for longer than anybody waits.
    """
    results = []
    for name, schema in hard_schemas().items():
        with Helper(writer, gguf, gguf.parent / f"{writer}-hard.log") as helper:
            report = helper.ask(Question(schema, 1, HARD_TOKENS))
            results.append(_result(writer, name, {}, report))
    return results


def _result(writer: str, name: str, schema: Any, report: Report | None) -> Result:
    if report is None:
        return Result(writer, name, ["killed"], None)
    outcomes = [outcome_of(schema, answer) for answer in report.answers]
    return Result(writer, name, outcomes or ["refused"], report)


def outcome_of(schema: Any, answer: Answer) -> str:
    """One of OUTCOMES."""
    if answer.error is not None:
        return "refused"
    if answer.reason == "length":
        return "cut"
    try:
        value = json.loads(answer.text)
    except ValueError:
        return "no JSON"
    return "valid" if is_valid(schema, value) else "wrong"


def _of(results: Sequence[Result], writer: str) -> list[Result]:
    return [result for result in results if result.writer == writer]


def _row(writer: str, results: Sequence[Result]) -> tuple[str, ...]:
    counted = Counter(outcome for result in results for outcome in result.outcomes)
    reports = [result.report for result in results if result.report is not None]
    ms, chars = [report.write_ms for report in reports], [report.chars for report in reports]
    return (
        writer,
        *(str(counted[outcome]) for outcome in OUTCOMES),
        f"{median(ms):.2f} ({max(ms):.0f})",
        f"{median(chars):.0f} ({max(chars)})",
        f"{median(_token_ms(report) for report in reports if report.answers):.2f}",
    )


def _token_ms(report: Report) -> float:
    return sum(answer.ms for answer in report.answers) / max(
        sum(answer.tokens for answer in report.answers), 1
    )


def _note(writer: str, results: Sequence[Result]) -> str:
    """The schemas that it never got a valid answer for."""
    failed = [one.schema for one in results if not {"valid", "cut"} & set(one.outcomes)]
    named = ", ".join(failed[:NAMED]) + (", ..." if len(failed) > NAMED else "")
    return f"{writer}: no valid answer to {len(failed)} schemas{': ' if failed else ''}{named}"


def _hard_sheet(results: Sequence[Result]) -> Sheet:
    return Sheet(
        title=f"Hard schemas: {HARD_TOKENS} tokens of an answer, killed after {LIMIT_S:.0f} s or beyond 4 GiB",
        columns=("schema", "grammar by", "outcome", "write ms", "chars", "ms a token", "MiB"),
        rows=[_hard_row(one) for one in sorted(results, key=lambda one: one.schema)],
    )


def _hard_row(result: Result) -> tuple[str, ...]:
    report, outcome = result.report, result.outcomes[0]
    if report is None:
        return (result.schema, result.writer, outcome, "", "", "", "")
    figures = (
        f"{report.write_ms:.1f}",
        str(report.chars),
        f"{_token_ms(report):.2f}",
        f"{report.grown_mib:.0f}",
    )
    return (result.schema, result.writer, outcome, *figures)
