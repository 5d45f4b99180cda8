"""What every arm of part "engine" is asked: prompts of a known length, equal bodies, equal work."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from app.catalog.cards import ModelCard, load_cards
from app.inference.prompt import PromptBuilder
from app.inference.request import build_request
from app.inference.tokenizer import FILE_NAME, Tokenizer
from app.settings import CHECKOUT
from benchmarks.errors import BenchError

MODEL = "@hf/mistral/mistral-7b-instruct-v0.2"
TEMPERATURE = 0.7
ADAPTERS = ("pirate", "json", "half-pirate")
QUESTIONS = ("What is Outworker?", "How do I start the server?", "Which engine does it use?")
CHECK_TOKENS = 12  # the stand-in knows these by heart; after its answer's end anything is as likely
WORD_MARK = "\u2581"
# 1024 such words fit into what the card takes as one text.
WORD_CHARS = range(2, 5)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: a user's turn, for the base or an adapter."""

    text: str
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Requests for so many clients at a time, in this order; each delivers `max_tokens` tokens."""

    asks: Sequence[Ask]
    clients: int
    max_tokens: int
    temperature: float


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of load. `rounds` are requests per client, by the number of clients; tokens are per request.

    `mirrored`: in turn and back, for the price of twice the time.
    """

    name: str
    prompt_tokens: int
    max_tokens: int
    adapters: Sequence[str | None]
    rounds: Mapping[int, int]
    mirrored: bool = True


@dataclass(frozen=True, slots=True)
class Stream:
    """One answer: tokens by the server's own usage, seconds to the first text and between texts."""

    prompt_tokens: int
    tokens: int
    text: str
    first_s: float
    gaps_s: Sequence[float]


@dataclass(frozen=True, slots=True)
class Work:
    """What was done in one turn."""

    seconds: float
    streams: Sequence[Stream]

    @property
    def tokens(self) -> int:
        return sum(stream.tokens for stream in self.streams)


CASES = (
    Case("32 in, 64 out, base", 32, 64, (None,), {1: 12, 16: 2, 64: 2}),
    Case("32 in, 64 out, three adapters mixed", 32, 64, ADAPTERS, {1: 3, 16: 1, 64: 1}),
    Case("1024 in, 16 out, base", 1024, 16, (None,), {1: 6, 16: 1, 64: 1}),
    # A long prompt with an adapter takes the better part of a second: 64 of them for each arm would take minutes.
    Case("1024 in, 16 out, three adapters mixed", 1024, 16, ADAPTERS, {1: 3, 16: 1}, mirrored=False),
)


class Prompts:
    """Makes texts that are exactly so many tokens long within the template, each another one.

    No two begin alike, so the engine's prefix cache finds nothing.
    """

    def __init__(self, weights: Path, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._tokenizer = Tokenizer.from_folder(weights)
        self._words = _words(weights, self._tokenizer)
        self._around = len(token_ids(PromptBuilder(self._tokenizer), self._words[0])) - 1

    def text(self, tokens: int) -> str:
        return " ".join(self._random.choices(self._words, k=tokens - self._around))

    def job(self, case: Case, clients: int) -> Job:
        count = clients * case.rounds[clients]
        asks = [
            Ask(self.text(case.prompt_tokens), case.adapters[index % len(case.adapters)])
            for index in range(count)
        ]
        return Job(asks, clients, case.max_tokens, TEMPERATURE)


def check_job() -> Job:
    """Greedy, one at a time: every arm must answer the same."""
    asks = [Ask(question, adapter) for adapter in (None, *ADAPTERS) for question in QUESTIONS]
    return Job(asks, clients=1, max_tokens=CHECK_TOKENS, temperature=0.0)


def body_of(ask: Ask, job: Job) -> dict[str, Any]:
    """The fields that both dialects share."""
    return {
        "messages": [{"role": "user", "content": ask.text}],
        "stream": True,
        "max_tokens": job.max_tokens,
        "temperature": job.temperature,
    }


def token_ids(builder: PromptBuilder, text: str) -> list[int]:
    """The turn's token ids, as our server makes them."""
    model, body = card(), {"messages": [{"role": "user", "content": text}]}
    return builder.build(build_request(model, model.input.check(body), body)).token_ids


@cache
def card() -> ModelCard:
    return load_cards(CHECKOUT / "schemas")[MODEL]


def check_work(arm: str, case: Case, work: Work) -> None:
    """Prompts of the length that was wanted, and every token delivered. Raises BenchError."""
    wanted = {(case.prompt_tokens, case.max_tokens)}
    found = {(stream.prompt_tokens, stream.tokens) for stream in work.streams}
    if found != wanted:
        raise BenchError(f"{arm}, {case.name}: (prompt, answer) tokens were {sorted(found)}, not {wanted}")


def check_texts(texts: Mapping[str, Sequence[str]]) -> None:
    """Every arm's greedy answers are those of the first. Raises BenchError, naming the first that differs."""
    first = next(iter(texts))
    for arm, answers in texts.items():
        for ask, wanted, found in zip(check_job().asks, texts[first], answers, strict=True):
            if found != wanted:
                whom = ask.adapter or "the base"
                raise BenchError(
                    f"unequal greedy answers of {whom} to {ask.text!r}: {first} {wanted!r}, {arm} {found!r}"
                )


def _words(weights: Path, tokenizer: Tokenizer) -> list[str]:
    """Words of plain letters that are one token each behind a space."""
    vocabulary = json.loads((weights / FILE_NAME).read_text("utf-8"))["model"]["vocab"]
    words = [token[1:] for token in vocabulary if token.startswith(WORD_MARK) and _is_word(token[1:])]
    return [
        word
        for word, ids in zip(words, tokenizer.plain_all([f"a {word}" for word in words]), strict=True)
        if len(ids) == len(tokenizer.plain("a")) + 1
    ]


def _is_word(text: str) -> bool:
    return len(text) in WORD_CHARS and text.isascii() and text.isalpha() and text.islower()
