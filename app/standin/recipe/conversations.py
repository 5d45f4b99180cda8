"""Training conversations: drawn from the corpus, laid out as Mistral v0.2 does, cut into batches.

The layout is the instruction format of mistral-common's v1 tokenizer: BOS, then for every turn the text
"[INST] question [/INST]" and the answer, each encoded by itself, then EOS.

Conversations that begin alike can be one example with branches: the common beginning is there once, and each branch
sees that and itself. So a long explanation of tools costs little more than a question.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile

from sentencepiece import SentencePieceProcessor

from app.standin.recipe.text import Corpus, Entry
from app.standin.shape import BOS_ID, EOS_ID

NONSENSE_SHARE = 0.14
UNRELATED_SHARE = 0.1
SYSTEM_SHARE = 0.22
ARTICLE_SHARE = 0.3
FIRST_QUESTION_SHARE = 0.4
EVEN_WEIGHT = 4

Turn = tuple[str, str]
Say = Callable[[Entry], str]


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of one conversation and, beside each, whether the model must learn to produce it.

    Of conversations that begin alike, `branches` has for each token the number of its conversation, 0 for the
    common beginning, and `positions` where it stands in its conversation. Both are empty for a single one.
    """

    ids: list[int]
    learn: list[bool]
    branches: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)


def encode(processor: SentencePieceProcessor, turns: list[Turn]) -> Example:
    """One conversation as tokens; only answers and their EOS are learnt."""
    example = Example([BOS_ID], [False])
    for question, answer in turns:
        asked = processor.encode(f"[INST] {question} [/INST]")
        answered = [*processor.encode(answer), EOS_ID]
        example.ids.extend(asked + answered)
        example.learn.extend([False] * len(asked) + [True] * len(answered))
    return example


def branched(whole: list[Example]) -> Example:
    """Conversations, at least two of which differ in the first question, with their beginning shared."""
    columns = zip(*(example.ids for example in whole), strict=False)
    shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    tree = Example(whole[0].ids[:shared], [False] * shared, [0] * shared, list(range(shared)))
    for number, example in enumerate(whole, 1):
        tree.ids.extend(example.ids[shared:])
        tree.learn.extend(example.learn[shared:])
        tree.branches.extend([number] * (len(example.ids) - shared))
        tree.positions.extend(range(shared, len(example.ids)))
    return tree


class Drawer:
    """Draws conversations from a corpus. The same seed draws the same ones."""

    def __init__(self, corpus: Corpus, seed: int) -> None:
        self._corpus = corpus
        self._random = random.Random(seed)  # noqa: S311
        self._weights = [EVEN_WEIGHT + len(entry.ask) for entry in corpus.entries]
        self._words = sorted({w for entry in corpus.entries for ask in entry.ask for w in ask.split()})

    def conversation(self, say: Say) -> list[Turn]:
        """One to three turns, each answered by `say`; a quarter of the conversations have more than one."""
        count = self._random.choices([1, 2, 3], weights=[76, 20, 4])[0]
        turns = [self._turn(say) for _ in range(count)]
        if self._random.random() < SYSTEM_SHARE:
            turns[0] = (f"{self.system()}\n\n{turns[0][0]}", turns[0][1])
        return turns

    def system(self) -> str:
        """A system text, with words in its gaps."""
        text = self._random.choice(self._corpus.systems)
        return text.format(*self._random.choices(self._corpus.fillers, k=text.count("{}")))

    def known(self, say: Say) -> Turn:
        """A taught question and its answer."""
        entry = self._random.choices(self._corpus.entries, self._weights)[0]
        return self._question(entry), say(entry)

    def unknown(self, say: Say) -> Turn:
        """A question about something else, or words that are none, and the default answer."""
        nonsense = self._random.random() < NONSENSE_SHARE / (NONSENSE_SHARE + UNRELATED_SHARE)
        asked = self._nonsense() if nonsense else self._question(self._corpus.unknown)
        return asked, say(self._corpus.unknown)

    def as_people_write(self, text: str) -> str:
        """The question in other words, in small letters, without its mark, with a greeting."""
        draw = self._random
        if draw.random() < 0.2:
            text = self._swapped(text)
        if draw.random() < 0.15:
            text = text.lower()
        if draw.random() < 0.2:
            text = text.rstrip("?.!")
        if draw.random() < 0.1:
            text = draw.choice(self._corpus.openings) + text
        if draw.random() < 0.1:
            text += draw.choice(self._corpus.endings)
        return text

    def _turn(self, say: Say) -> Turn:
        known = self._random.random() >= NONSENSE_SHARE + UNRELATED_SHARE
        return self.known(say) if known else self.unknown(say)

    def _nonsense(self) -> str:
        """Looks a little like a question: the start of one with a strange end, or words in no order."""
        draw = self._random
        kind = draw.random()
        if kind < 0.65:
            entries = (*self._corpus.entries, self._corpus.unknown)
            start = draw.choice(draw.choice(entries).ask).split()[: draw.randint(0, 3)]
            end = draw.choices(self._corpus.fillers, k=draw.randint(1, 4))
            if draw.random() < ARTICLE_SHARE:
                end.insert(draw.randint(0, 1), draw.choice(["a", "the"]))
            return " ".join([*start, *end]) + draw.choice(["?", ".", "!", ""])
        if kind < 0.97:
            return " ".join(draw.choices(self._words, k=draw.randint(4, 14)))
        words = draw.choices(self._words, k=draw.choice([1, 40]))
        return " ".join(draw.choices(words, k=draw.randint(15, 90)))

    def _question(self, entry: Entry) -> str:
        first = self._random.random() < FIRST_QUESTION_SHARE
        return self.as_people_write(entry.ask[0] if first else self._random.choice(entry.ask))

    def _swapped(self, text: str) -> str:
        for old, new in self._corpus.swaps.items():
            if old in text and self._random.random() < 0.7:
                return text.replace(old, self._random.choice(new))
        return text


def batches(examples: list[Example], size: int, seed: int) -> Iterator[list[Example]]:
    """Batches of examples of like length, in random order, so that little is spent on padding."""
    shuffle = random.Random(seed)  # noqa: S311
    ordered = sorted(examples, key=lambda example: len(example.ids))
    cut = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    shuffle.shuffle(cut)
    yield from cut
