"""Answers drawn from a grammar byte by byte, each of those that may come next as likely as the others."""

import random

import xgrammar

END = 256
MAX_BYTES = 3000
ENDS_SHARE = 0.3


class Bytes:
    """A compiler for a vocabulary of bytes."""

    def __init__(self) -> None:
        vocabulary = [bytes([value]) for value in range(END)] + [b"</s>"]
        info = xgrammar.TokenizerInfo(vocabulary, xgrammar.VocabType.RAW, stop_token_ids=[END])
        self._compiler = xgrammar.GrammarCompiler(info, cache_enabled=False)
        self._mask = xgrammar.allocate_token_bitmask(1, END + 1)

    def compile(self, grammar: str) -> xgrammar.CompiledGrammar:
        return self._compiler.compile_grammar(grammar)

    def draw(self, compiled: xgrammar.CompiledGrammar, seed: int) -> str | None:
        """None for one that does not end within MAX_BYTES."""
        source, matcher, drawn = random.Random(seed), xgrammar.GrammarMatcher(compiled), bytearray()
        while len(drawn) < MAX_BYTES:
            matcher.fill_next_token_bitmask(self._mask)
            words = [int(word) & 0xFFFFFFFF for word in self._mask[0]]
            allowed = [place for place in range(END + 1) if words[place // 32] >> place % 32 & 1]
            assert allowed, f"nothing may follow {bytes(drawn)!r}"
            ends = END in allowed and (allowed == [END] or source.random() < ENDS_SHARE)
            chosen = END if ends else source.choice([one for one in allowed if one != END])
            assert matcher.accept_token(chosen)
            if chosen == END:
                return drawn.decode()
            drawn.append(chosen)
        return None
