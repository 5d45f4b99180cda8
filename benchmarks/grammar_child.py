"""A writer of grammars with llama.cpp beside it: `python -m benchmarks.grammar_child WRITER GGUF`.

It reads a `Question` as a line of JSON and answers with a `Report`. A schema may end it, or keep it for ever: it runs in
a process of its own, and has a bound of memory.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import psutil
import xllamacpp

from app.engines.llamacpp.grammar.structural_tag import gbnf_of
from app.engines.llamacpp.plan import LlamaCppPlan, server_params
from app.engines.llamacpp.request import body_of
from app.errors import JsonModeUnmet
from app.types import Grammar, Sampling

MAX_BYTES: Final = 4 * 1024**3
"""Of addresses."""
CONTEXT_TOKENS: Final = 1024
PROMPT: Final = (1, 415)
"""Tokens that say nothing: an answer is what the grammar makes of it."""
TEMPERATURE: Final = 1.5


@dataclass(frozen=True, slots=True)
class Question:
    schema: Any
    answers: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """`reason` is llama.cpp's: "stop", "length", or None beside an error."""

    text: str
    tokens: int
    ms: float
    reason: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """`refusal` says why there is no grammar. `grown_mib` is what the process keeps of it all."""

    write_ms: float
    chars: int
    refusal: str | None
    answers: list[Answer]
    grown_mib: float


def ours(schema: Any) -> str:
    return gbnf_of(Grammar(json_schema=json.dumps(schema)))


def theirs(schema: Any) -> str:
    return str(xllamacpp.json_schema_to_grammar(json.dumps(schema)))


WRITERS: Final[dict[str, Callable[[Any], str]]] = {"ours": ours, "xllamacpp": theirs}


class Llama:
    """llama.cpp with the GGUF file, asked as `app.engines.llamacpp` asks it."""

    def __init__(self, gguf: Path) -> None:
        plan = LlamaCppPlan(gguf, gguf.parent, context=CONTEXT_TOKENS, slots=1, adapters=0, threads=1)
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            self._server = xllamacpp.Server(server_params(xllamacpp, plan, [], Path(folder)))

    def answer(self, grammar: str, seed: int, max_tokens: int) -> Answer:
        sampling = Sampling(max_tokens=max_tokens, temperature=TEMPERATURE, seed=seed)
        body = body_of(PROMPT, (), sampling, adapter=None, window=CONTEXT_TOKENS)
        chunks: list[dict[str, Any]] = []
        began = time.perf_counter()
        self._server.handle_completions(orjson.dumps({**body, "grammar": grammar}), _keeps(chunks))
        return _answer(chunks, (time.perf_counter() - began) * 1000)


def _keeps(chunks: list[dict[str, Any]]) -> Callable[[bytes], bool]:
    def keep(chunk: bytes) -> bool:
        chunks.append(orjson.loads(chunk))
        return False

    return keep


def _answer(chunks: list[dict[str, Any]], ms: float) -> Answer:
    errors = [str(chunk["error"].get("message", "")) for chunk in chunks if "error" in chunk]
    choices = [choice for chunk in chunks for choice in chunk.get("choices", ())]
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    tokens = max((chunk.get("timings", {}).get("predicted_n", 0) for chunk in chunks), default=0)
    text = "".join(choice["text"] or "" for choice in choices)
    return Answer(text, tokens, ms, next(iter(reasons), None), next(iter(errors), None))


def report(write: Callable[[Any], str], llama: Llama, question: Question) -> Report:
    before = _mib()
    began = time.perf_counter()
    try:
        grammar = write(question.schema)
    except (JsonModeUnmet, RuntimeError, TypeError) as error:
        return Report((time.perf_counter() - began) * 1000, 0, str(error), [], _mib() - before)
    ms = (time.perf_counter() - began) * 1000
    answers = [llama.answer(grammar, seed, question.max_tokens) for seed in range(1, question.answers + 1)]
    return Report(ms, len(grammar), None, answers, _mib() - before)


def _mib() -> float:
    return float(psutil.Process().memory_info().rss) / 1024**2


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    write, llama = WRITERS[sys.argv[1]], Llama(Path(sys.argv[2]))
    print("ready", flush=True)
    for line in sys.stdin:
        answered = report(write, llama, Question(**orjson.loads(line)))
        print(orjson.dumps(answered).decode(), flush=True)


if __name__ == "__main__":
    main()
