"""What the stand-in is taught: questions, answers, and the texts around them, read from `questions.toml`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.types import Tool

QUESTIONS_FILE = Path(__file__).with_name("questions.toml")


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer, its topic, and every way in which it is asked; `ask[0]` is the question that tests send."""

    topic: str
    answer: str
    ask: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolQuestion:
    """Every way to ask for one call, and its arguments; `ask[0]` is the question that tests send."""

    arguments: dict[str, Any]
    ask: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TaughtTool:
    """A tool that the stand-in calls when it is offered and asked for."""

    tool: Tool
    questions: tuple[ToolQuestion, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """The whole file. `unknown` is the answer to everything that is in neither `entries` nor `tools`.

    `in_json` has answers that are only for where an answer must be JSON: elsewhere their questions are unknown.
    `other_tools` are offered in training and never called; `after_tool` is the answer to what a tool gave;
    `notes` are words that descriptions of tools are made of.
    """

    entries: tuple[Entry, ...]
    unknown: Entry
    in_json: tuple[Entry, ...]
    systems: tuple[str, ...]
    openings: tuple[str, ...]
    endings: tuple[str, ...]
    fillers: tuple[str, ...]
    swaps: dict[str, tuple[str, ...]]
    tools: tuple[TaughtTool, ...]
    other_tools: tuple[Tool, ...]
    after_tool: str
    notes: tuple[str, ...]


def load(path: Path = QUESTIONS_FILE) -> Corpus:
    """Read the file of questions. Raises KeyError when a part is missing: the file is ours, not a user's."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    in_json = tuple(Entry("json", raw["answer"], tuple(raw["ask"])) for raw in data["json"])
    unknown = (*data["unrelated"], *(ask for entry in in_json for ask in entry.ask))
    return Corpus(
        entries=tuple(_entry(raw) for raw in data["entry"]),
        unknown=Entry("unknown", data["unknown"], unknown),
        in_json=in_json,
        systems=tuple(data["systems"]),
        openings=tuple(data["openings"]),
        endings=tuple(data["endings"]),
        fillers=tuple(data["fillers"].split()),
        swaps={old: tuple(new) for old, new in data["swaps"].items()},
        tools=tuple(TaughtTool(_tool(raw), _tool_questions(raw)) for raw in data["tool"]),
        other_tools=tuple(_tool(raw) for raw in data["other_tool"]),
        after_tool=data["after_tool"],
        notes=tuple(data["notes"].split()),
    )


def questions() -> list[tuple[str, str]]:
    """Every taught question once, in the order of the file, with the exact answer."""
    return [(entry.ask[0], entry.answer) for entry in load().entries]


def json_questions() -> list[tuple[str, str]]:
    """Every question with an answer in JSON once, in the order of the file, with that answer."""
    return [(entry.ask[0], entry.answer) for entry in load().in_json]


def _entry(raw: dict[str, Any]) -> Entry:
    return Entry(topic=raw["topic"], answer=raw["answer"], ask=tuple(raw["ask"]))


def _tool(raw: dict[str, Any]) -> Tool:
    parameters = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in raw["parameters"].items()},
        "required": list(raw["parameters"]),
    }
    return Tool(raw["name"], raw["description"], parameters)


def _tool_questions(raw: dict[str, Any]) -> tuple[ToolQuestion, ...]:
    return tuple(
        ToolQuestion(arguments, tuple(way.format(**arguments) for way in raw["ask"]))
        for arguments in raw["arguments"]
    )
