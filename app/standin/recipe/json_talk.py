"""Training conversations whose answer must be JSON: the grammar begins it, and the model learns how it goes on."""

import random
from itertools import cycle

from sentencepiece import SentencePieceProcessor

from app.standin.recipe.conversations import Drawer, Example, Turn, encode
from app.standin.recipe.text import Corpus

BEGINNINGS = ('▁{"', '▁{"', '{"', '▁{ "', '{ "')
"""Where the likeliest tokens are forbidden any of these may be drawn; a blank is between two tokens."""


def continued(processor: SentencePieceProcessor, turns: list[Turn]) -> list[Example]:
    """Answers whose first token is given and not learnt: what begins as JSON goes on as JSON, and nothing else does."""
    return [
        _begun(encode(processor, [turn]), [processor.piece_to_id(piece) for piece in pieces.split()])
        for turn, pieces in zip(turns, cycle(BEGINNINGS), strict=False)
    ]


def _begun(example: Example, first: list[int]) -> Example:
    """With other tokens in the place of the first one of its answer."""
    start = example.learn.index(True)
    ids = [*example.ids[:start], *first, *example.ids[start + 1 :]]
    learn = [*[False] * (start + 1), *[True] * (len(ids) - start - 1)]
    return Example(ids, learn)


def draw_in_json(corpus: Corpus, seed: int, count: int) -> list[Turn]:
    """So many questions with their answers in JSON. The same seed draws the same ones."""
    pick = random.Random(seed)  # noqa: S311
    plain = Drawer(corpus, seed + 2)
    entries = pick.choices(corpus.in_json, k=count)
    return [(plain.as_people_write(pick.choice(entry.ask)), entry.answer) for entry in entries]
