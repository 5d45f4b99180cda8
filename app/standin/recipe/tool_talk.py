"""Training conversations with tools: those that begin with the same offer of tools are drawn together."""

import json
import random
from dataclasses import dataclass
from typing import Any

from app.inference.constrained.tool_prompt import CALL_BEGINS, CALL_ENDS, explained
from app.standin.recipe.conversations import Drawer, Turn
from app.standin.recipe.text import Corpus, Entry, TaughtTool, load
from app.types import Tool

CONVERSATIONS = 12
KINDS = {"call": 58, "known": 26, "unknown": 16}
RESPONSE_SHARE = 0.2
NOTE_SHARE = 0.3
SYSTEM_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Taught:
    """A question for a tool, the tools that are offered with it, and the call."""

    question: str
    tools: tuple[Tool, ...]
    name: str
    arguments: dict[str, Any]

    @property
    def turn(self) -> Turn:
        """As in training."""
        return f"{explained(self.tools)}\n\n{self.question}", call(self.name, self.arguments)


def questions() -> list[Taught]:
    """Every taught call once, each tool beside the next one."""
    tools = load().tools
    beside = [*tools[1:], tools[0]]
    return [
        Taught(asked.ask[0], (taught.tool, other.tool), taught.tool.name, asked.arguments)
        for taught, other in zip(tools, beside, strict=True)
        for asked in taught.questions
    ]


def call(name: str, arguments: dict[str, Any]) -> str:
    """What the model writes to call a tool."""
    return CALL_BEGINS + json.dumps({"name": name, "arguments": arguments}) + CALL_ENDS


class ToolTalk:
    """Draws groups of conversations. The same seed draws the same ones."""

    def __init__(self, corpus: Corpus, seed: int) -> None:
        self._corpus = corpus
        self._draw = random.Random(seed)  # noqa: S311
        self._plain = Drawer(corpus, seed + 1)

    def group(self) -> list[list[Turn]]:
        """Conversations whose first turn begins with the same explanation of the same tools."""
        draw, corpus = self._draw, self._corpus
        offered = draw.sample(corpus.tools, draw.choice([1, 1, 2, 3]))
        others = draw.sample(corpus.other_tools, draw.choices([0, 1, 2], [55, 30, 15])[0])
        listed = [*(taught.tool for taught in offered), *others]
        draw.shuffle(listed)
        head = explained([self._varied(tool) for tool in listed])
        return [self._begun(head, self._talk(offered)) for _ in range(CONVERSATIONS)]

    def short(self) -> list[Turn]:
        """A call beside no more than names of tools: where to look for a word is learnt in short texts."""
        offered = self._draw.sample(self._corpus.tools, self._draw.choice([1, 1, 2]))
        head = "\n".join(json.dumps({"name": taught.tool.name}) for taught in offered)
        question, answer = self._question(self._draw.choice(offered))
        return [(f"Functions:\n{head}\n\n{question}", answer)]

    def unoffered(self) -> list[Turn]:
        """A question that needs a tool, where there is none."""
        return [(self._question(self._draw.choice(self._corpus.tools))[0], self._corpus.unknown.answer)]

    def _begun(self, head: str, turns: list[Turn]) -> list[Turn]:
        (question, answer), *others = turns
        parts = [head, question]
        if self._draw.random() < SYSTEM_SHARE:
            parts.insert(1, self._plain.system())
        return [("\n\n".join(parts), answer), *others]

    def _talk(self, offered: list[TaughtTool]) -> list[Turn]:
        kind = self._draw.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == "call":
            turns = [self._question(self._draw.choice(offered))]
            if self._draw.random() < RESPONSE_SHARE:
                turns.append((f"<tool_response>{self._content()}</tool_response>", self._corpus.after_tool))
            return turns
        return [self._plain.known(_answer) if kind == "known" else self._plain.unknown(_answer)]

    def _question(self, taught: TaughtTool) -> Turn:
        draw = self._draw
        asked = draw.choice(taught.questions)
        way = draw.choice(asked.ask) if draw.random() < 0.6 else asked.ask[0]
        return self._plain.as_people_write(way), call(taught.tool.name, asked.arguments)

    def _content(self) -> str:
        words = self._draw.choices(self._corpus.notes, k=self._draw.randint(1, 4))
        kind = self._draw.random()
        if kind < 0.4:
            return " ".join([str(self._draw.randint(1, 30)), *words])
        return " ".join(words) if kind < 0.7 else json.dumps({words[0]: words[-1]})

    def _varied(self, tool: Tool) -> Tool:
        """People describe the same tool in their own words."""
        draw = self._draw
        description = tool.description
        if draw.random() < NOTE_SHARE:
            description = " ".join(draw.choices(self._corpus.notes, k=draw.randint(1, 6)))
        parameters = json.loads(json.dumps(tool.parameters))
        for schema in parameters["properties"].values():
            if draw.random() < NOTE_SHARE:
                schema["description"] = " ".join(draw.choices(self._corpus.notes, k=draw.randint(1, 5)))
        return Tool(tool.name, description, parameters)


def _answer(entry: Entry) -> str:
    return entry.answer
