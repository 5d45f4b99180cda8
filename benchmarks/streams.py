"""Event streams after the fact: what was said, how much by the server's count, and when each text arrived.

All of it is done when the load is over: while it runs the client only notes when bytes came.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import orjson

from benchmarks.errors import BenchError
from benchmarks.load import Answer
from benchmarks.workload import Stream

END = b"\n\n"
DATA = b"data: "
DONE = b"[DONE]"


def read_stream(answer: Answer) -> Stream:
    """Raises BenchError for an answer without text or usage. Reads our native events and OpenAI's."""
    texts: list[str] = []
    moments: list[float] = []
    usage: dict[str, Any] = {}
    for moment, event in _events(answer):
        usage = event.get("usage") or usage
        if text := _text(event):
            texts.append(text)
            moments.append(moment)
    if not texts or not usage:
        raise BenchError(
            f"no stream of text and usage: it ends {answer.body[-200:].decode(errors='replace')}"
        )
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    return Stream(usage["prompt_tokens"], usage["completion_tokens"], "".join(texts), moments[0], gaps)


def _events(answer: Answer) -> Iterator[tuple[float, dict[str, Any]]]:
    """Each event with the moment when its last byte came. Comments, which keep a slow stream open, are none."""
    arrivals = iter(answer.arrivals)
    moment, length = 0.0, 0
    start = 0
    while (end := answer.body.find(END, start)) >= 0:
        event = answer.body[start:end]
        start = end + len(END)
        while length < start:
            moment, length = next(arrivals)
        if event.startswith(DATA) and event != DATA + DONE:
            yield moment, orjson.loads(event.removeprefix(DATA))


def _text(event: dict[str, Any]) -> str | None:
    choices: Sequence[dict[str, Any]] | None = event.get("choices")
    if choices is None:
        text: str | None = event.get("response")
        return text
    return next((choice["delta"].get("content") for choice in choices), None)
