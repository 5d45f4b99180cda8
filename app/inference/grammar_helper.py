"""`python -m app.inference.grammar_helper WEIGHTS`: tries out grammars for `app.inference.grammars`.

Compiled is exactly what vLLM will compile, with the same library and vocabulary; then a short answer is drawn from the
grammar, because one that compiles may still allow nothing (`{"$ref": "#"}`) or take long at every token.
"""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import xgrammar
from transformers import PreTrainedTokenizerFast

from app.errors import printable
from app.inference.helper_child import serve

MEMORY_MAX_BYTES: Final = 2 * 1024**3
GRAMMAR_MAX_BYTES: Final = 16 * 1024**2
CONVERSION_MAX_S: Final = 0.25
"""vLLM converts a schema once more in the server's own loop, where nothing else happens meanwhile."""

TRIAL_TOKENS: Final = 128
TRIAL_MAX_S: Final = 1.0
REASON_MAX_CHARS: Final = 120
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
        """`{"tag": text}`; the answer's `wrong` says in a few words what is, or is null."""
        try:
            return {"wrong": self._fault(job["tag"])}
        except (RuntimeError, ValueError, TypeError, MemoryError) as error:
            return {"wrong": _reason(error)}

    def _fault(self, tag: str) -> str | None:
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
                return "no JSON can satisfy it: it needs itself, or two of its rules exclude each other"
            matcher.accept_token(int(self._random.choice(allowed)))
        if time.process_time() - began > TRIAL_MAX_S:
            return f"it is too complex: {TRIAL_TOKENS} tokens took longer than {TRIAL_MAX_S:g} s"
        return None


def _reason(error: Exception) -> str:
    """The library's words, without the place in its source."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return printable(_SOURCE_LINE.sub("", lines[0]).strip(), REASON_MAX_CHARS)


if __name__ == "__main__":
    serve(Trial(Path(sys.argv[1])).work, memory_max_bytes=MEMORY_MAX_BYTES)
