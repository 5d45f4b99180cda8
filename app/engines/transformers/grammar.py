"""Grammars that an answer is kept to, with xgrammar, as vLLM compiles them."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

import torch
import xgrammar
from transformers import PreTrainedTokenizerFast

from app.engines.structural_tag import control_tokens, structural_tag
from app.errors import JsonModeUnmet
from app.types import Grammar

CACHE_MAX_BYTES: Final = 512 * 1024**2
COMPILE_THREADS: Final = 2
STUCK: Final = "The model can't go on: the schema allows no next token"


class Constraint:
    """Where one answer stands in its grammar."""

    def __init__(self, compiled: xgrammar.CompiledGrammar, vocab_size: int, unwritten: torch.Tensor) -> None:
        """`unwritten` are the bits of tokens that no text has."""
        self._matcher = xgrammar.GrammarMatcher(compiled)
        self._written = ~unwritten
        self._bits = xgrammar.allocate_token_bitmask(1, vocab_size)

    def mask(self, logits: torch.Tensor) -> None:
        """Leave only what the grammar allows next. After its end everything is allowed. Raises JsonModeUnmet."""
        if self._matcher.is_terminated():
            return
        self._matcher.fill_next_token_bitmask(self._bits)
        self._bits &= self._written
        if not bool(self._bits.any()):
            raise JsonModeUnmet(STUCK)
        xgrammar.apply_token_bitmask_inplace(logits, self._bits[0])

    def accept(self, token_id: int) -> None:
        """Raises JsonModeUnmet for one that the grammar does not allow: the model's output was no number."""
        if not self._matcher.is_terminated() and not self._matcher.accept_token(token_id):
            raise JsonModeUnmet(STUCK)


class GrammarCompiler:
    """For the vocabulary of one weights folder. May be used from several threads."""

    def __init__(self, tokenizer_file: Path, vocab_size: int, end_ids: Collection[int]) -> None:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_file))
        vocabulary = xgrammar.TokenizerInfo.from_huggingface(
            tokenizer, vocab_size=vocab_size, stop_token_ids=list(end_ids)
        )
        self._vocab_size = vocab_size
        self._unwritten = _bits_of(control_tokens(tokenizer) - set(end_ids), vocab_size)
        self._compiler = xgrammar.GrammarCompiler(
            vocabulary, max_threads=COMPILE_THREADS, cache_limit_bytes=CACHE_MAX_BYTES
        )

    def constraint(self, grammar: Grammar) -> Constraint:
        """May take seconds: call it in a thread of its own. Raises JsonModeUnmet for one that can't be compiled."""
        try:
            compiled = self._compiler.compile_structural_tag(structural_tag(grammar))
        except (RuntimeError, ValueError) as error:
            raise JsonModeUnmet("No grammar can be made of the schema") from error
        return Constraint(compiled, self._vocab_size, self._unwritten)


def _bits_of(token_ids: Iterable[int], vocab_size: int) -> torch.Tensor:
    """As xgrammar's masks have them: 32 tokens in each number, the first in its lowest bit."""
    flags = torch.zeros(1, -(-vocab_size // 32) * 32, dtype=torch.int64)
    flags[0, list(token_ids)] = 1
    words = (flags.view(1, -1, 32) << torch.arange(32)).sum(-1)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)
