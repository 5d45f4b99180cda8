"""Conversations as token ids in Mistral's v0.2 instruction format.

Token for token what mistral-common's v1 instruct tokenizer gives for every conversation that it accepts:

    <s> "[INST] " + system + "\\n\\n" + user + " [/INST]"  assistant </s>  "[INST] " + user + " [/INST]" ...

Each turn is encoded by itself. Beyond what mistral-common accepts, `docs/divergences.md` has the rules: an
unknown role and `tool` are user turns, system text anywhere joins the first user turn, a last assistant
turn is a prefix to continue, empty assistant turns are dropped. `app.inference.constrained.tool_prompt` has what tools
look like.
"""

import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from app.inference.constrained.tool_prompt import in_plain_turns
from app.inference.tokenizer import BOS, Tokenizer
from app.types import Message, Prompt, TextRequest

JOIN = "\n\n"
"""Between merged turns, between system texts, and between system text and the first user turn."""

_LEADING_BOS = re.compile(f"(?:{BOS})*")


class PromptBuilder:
    """Builds prompts for one tokenizer. Cheap for short texts; long ones are better built in a thread."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @property
    def weights(self) -> Path:
        """The folder that the tokenizer was read from."""
        assert self._tokenizer.weights is not None
        return self._tokenizer.weights

    @property
    def vocab_size(self) -> int:
        return self._tokenizer.vocab_size

    def build(self, request: TextRequest) -> Prompt:
        """The whole prompt, BOS included. `raw` text goes verbatim, with exactly one BOS in front."""
        if request.raw:
            return Prompt(self._raw(_raw_text(request)))
        if request.prompt is not None:  # one user turn, nothing to merge
            text = f"[INST] {request.prompt} [/INST]"
            return Prompt([self._tokenizer.bos_id, *self._tokenizer.plain(text)], opens_turn=True)
        turns = _turns(in_plain_turns(request.messages or (), request.tools))
        return Prompt(self._instruct(turns), opens_turn=turns[-1].role == "user")

    def count_at_least(self, chars: int) -> int:
        """A lower bound of the tokens of so many characters: refuses for nothing what can't fit."""
        return self._tokenizer.count_at_least(chars)

    @staticmethod
    def chars(request: TextRequest) -> int:
        """Characters that become tokens: in raw text the leading BOS become one, however many there are."""
        if request.raw:
            text = _raw_text(request)
            return len(text) - _LEADING_BOS.match(text).end()  # type: ignore[union-attr]  # it matches any text
        if request.prompt is not None:
            return len(request.prompt)
        return sum(len(message.content) for message in in_plain_turns(request.messages or (), request.tools))

    def _raw(self, text: str) -> list[int]:
        token_ids = self._tokenizer.verbatim(text)
        bos_id = self._tokenizer.bos_id
        start = next((index for index, token in enumerate(token_ids) if token != bos_id), len(token_ids))
        return [bos_id, *token_ids[start:]]

    def _instruct(self, turns: list[Message]) -> list[int]:
        texts = [f"[INST] {turn.content} [/INST]" if turn.role == "user" else turn.content for turn in turns]
        token_ids = [self._tokenizer.bos_id]
        for turn, segment in zip(turns, self._tokenizer.plain_all(texts), strict=True):
            token_ids += segment
            if turn.role == "assistant":
                token_ids.append(self._tokenizer.eos_id)
        if turns[-1].role == "assistant":  # a prefix to continue: the turn isn't over
            token_ids.pop()
        return token_ids


def _raw_text(request: TextRequest) -> str:
    """Contents of messages follow each other with nothing between them: raw means that nothing is added."""
    if request.prompt is not None:
        return request.prompt
    return "".join(message.content for message in request.messages or ())


def _turns(messages: Iterable[Message]) -> list[Message]:
    """User and assistant turns, merged, the first one a user turn that holds the system text.

    System messages give no turn, but one between two user turns keeps them apart: mistral-common does so.
    """
    spoken = [message for message in messages if message.content or message.role != "assistant"]
    system = JOIN.join(message.content for message in spoken if message.role == "system" and message.content)
    merged = [_merge(role, group) for role, group in groupby(spoken, _role) if role != "system"]
    turns = merged if merged and merged[0].role == "user" else [Message("user", ""), *merged]
    if system:
        turns[0] = Message("user", f"{system}{JOIN}{turns[0].content}")
    return turns


def _role(message: Message) -> str:
    return message.role if message.role in ("system", "assistant") else "user"


def _merge(role: str, group: Iterable[Message]) -> Message:
    return Message(role, JOIN.join(message.content for message in group if message.content))
