"""What the stand-in is taught: questions, answers, and the texts around them, read from `questions.toml`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUESTIONS_FILE = Path(__file__).with_name("questions.toml")


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer, its topic, and every way in which it is asked; `ask[0]` is the question that tests send."""

    topic: str
    answer: str
    ask: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """The whole file. `unknown` is the answer to everything that is not in `entries`."""

    entries: tuple[Entry, ...]
    unknown: Entry
    systems: tuple[str, ...]
    openings: tuple[str, ...]
    endings: tuple[str, ...]
    fillers: tuple[str, ...]
    swaps: dict[str, tuple[str, ...]]


def load(path: Path = QUESTIONS_FILE) -> Corpus:
    """Read the file of questions. Raises KeyError when a part is missing: the file is ours, not a user's."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return Corpus(
        entries=tuple(_entry(raw) for raw in data["entry"]),
        unknown=Entry("unknown", data["unknown"], tuple(data["unrelated"])),
        systems=tuple(data["systems"]),
        openings=tuple(data["openings"]),
        endings=tuple(data["endings"]),
        fillers=tuple(data["fillers"].split()),
        swaps={old: tuple(new) for old, new in data["swaps"].items()},
    )


def questions() -> list[tuple[str, str]]:
    """Every taught question once, in the order of the file, with the exact answer."""
    return [(entry.ask[0], entry.answer) for entry in load().entries]


def _entry(raw: dict[str, Any]) -> Entry:
    return Entry(topic=raw["topic"], answer=raw["answer"], ask=tuple(raw["ask"]))
