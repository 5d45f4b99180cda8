"""`python -m app.inference.constrained.grammar_worker WEIGHTS`: writes and tries out grammars for
`app.inference.constrained.grammar_checker`.

A schema is written as rules by `app.json_grammar.writing`, because xgrammar itself loses some of what schemas say.

Compiled is exactly what vLLM will compile, with the same library and vocabulary; then a short answer is drawn from the
grammar, because one that compiles may still allow nothing (`{"$ref": "#"}`) or take long at every token.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import xgrammar
from transformers import PreTrainedTokenizerFast

from app.errors import printable
from app.inference.constrained.worker_main import serve
from app.json_grammar.writing import NO_VALUE, grammar_of, loose_grammar_of

MEMORY_MAX_BYTES: Final = 2 * 1024**3
GRAMMAR_MAX_BYTES: Final = 16 * 1024**2
CONVERSION_MAX_S: Final = 0.25
"""vLLM converts a schema once more in the server's own loop, where nothing else happens meanwhile."""

TRIAL_TOKENS: Final = 128
TRIAL_MAX_S: Final = 1.0
REASON_MAX_CHARS: Final = 120
RECURSION_MAX: Final = 12_000
"""Schemas nest up to `schema_bounds.MAX_LEVELS`; reading one takes several frames a level."""

_SOURCE_LINE: Final = re.compile(r"^(\[[\d:]+\] )?/[^ ]+: ")


class Trial:
    """Compiles structural tags for the vocabulary of one weights folder."""

    def __init__(self, weights: Path) -> None:
        config = json.loads((weights / "config.json").read_text("utf-8"))
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(weights / "tokenizer.json"))
        vocabulary = xgrammar.TokenizerInfo.from_huggingface(
            tokenizer, vocab_size=config["vocab_size"], stop_token_ids=config["eos_token_id"]
        )
        self._compiler = xgrammar.GrammarCompiler(vocabulary, cache_enabled=False)
        self._mask = xgrammar.allocate_token_bitmask(1, vocabulary.vocab_size)
        self._random = np.random.default_rng(0)

    def work(self, job: dict[str, Any]) -> dict[str, Any]:
        """`{"tag": text}`; the answer's `tag` is the one to use, and `wrong` says in a few words what is, or is null."""
        wrong: str | None = None
        for write in (loose_grammar_of,) if job.get("loose") else (grammar_of, loose_grammar_of):
            try:
                tag = _written(json.loads(job["tag"]), write)
                wrong = self._fault(tag)
            except (RuntimeError, ValueError, TypeError, MemoryError) as error:
                wrong = _reason(error)
            if wrong is None:
                return {"tag": tag, "wrong": None}
            if wrong == NO_VALUE:
                break
        return {"tag": None, "wrong": wrong}

    def _fault(self, tag: str) -> str | None:
        """What the same library, with the same vocabulary, will say in the engine."""
        began = time.process_time()
        xgrammar.Grammar.from_structural_tag(tag)
        if time.process_time() - began > CONVERSION_MAX_S:
            return f"it is too complex: reading it took longer than {CONVERSION_MAX_S:g} s"
        compiled = self._compiler.compile_structural_tag(tag)
        if compiled.memory_size_bytes > GRAMMAR_MAX_BYTES:
            return f"its grammar takes {compiled.memory_size_bytes} bytes, at most {GRAMMAR_MAX_BYTES}"
        return self._draw(xgrammar.GrammarMatcher(compiled))

    def _draw(self, matcher: xgrammar.GrammarMatcher) -> str | None:
        """Any answer, up to so many tokens."""
        began = time.process_time()
        for _ in range(TRIAL_TOKENS):
            if matcher.is_terminated():
                break
            matcher.fill_next_token_bitmask(self._mask)
            allowed = np.flatnonzero(np.unpackbits(self._mask.numpy().view(np.uint8), bitorder="little"))
            if not allowed.size:
                return NO_VALUE
            matcher.accept_token(int(self._random.choice(allowed)))
        if time.process_time() - began > TRIAL_MAX_S:
            return f"it is too complex: {TRIAL_TOKENS} tokens took longer than {TRIAL_MAX_S:g} s"
        return None


def _written(part: Any, write: Callable[[Any], str]) -> str:
    """The tag's text with a grammar in place of each schema."""
    return json.dumps(_replaced(part, write))


def _replaced(part: Any, write: Callable[[Any], str]) -> Any:
    if isinstance(part, list):
        return [_replaced(one, write) for one in part]
    if not isinstance(part, dict):
        return part
    if part.get("type") == "json_schema":
        return {"type": "grammar", "grammar": write(part["json_schema"])}
    return {name: _replaced(value, write) for name, value in part.items()}


def _reason(error: Exception) -> str:
    """The library's words, without the place in its source."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return printable(_SOURCE_LINE.sub("", lines[0]).strip(), REASON_MAX_CHARS)


if __name__ == "__main__":
    sys.setrecursionlimit(RECURSION_MAX)
    serve(Trial(Path(sys.argv[1])).work, memory_max_bytes=MEMORY_MAX_BYTES)
