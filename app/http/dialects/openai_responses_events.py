"""The items of an OpenAI response, and the events that build them one by one."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import orjson

from app.http.dialects.openai_common import render_logprobs
from app.http.padding import Padding
from app.types import TokenLogprob, ToolCall

TEXT_DELTA = "response.output_text.delta"


def new_id(kind: str) -> str:
    return f"{kind}_{uuid4().hex}"


def text_part(text: str, logprobs: Sequence[TokenLogprob] = ()) -> dict[str, Any]:
    said = render_logprobs(logprobs)
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": said}


def message_item(identity: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": identity, "type": "message", "status": status, "role": "assistant", "content": content}


def call_item(call: ToolCall) -> dict[str, Any]:
    return {
        "id": new_id("fc"),
        "type": "function_call",
        "status": "completed",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
    }


def _event_logprobs(logprobs: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
    """As the text's events have them: without bytes, which the finished text has."""
    return [
        {**_token(entry.text, entry.logprob), "top_logprobs": [_token(*top) for top in entry.top]}
        for entry in logprobs
    ]


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob}


class Events:
    """Frames with their sequence numbers. `output` are the items that are finished."""

    def __init__(self, padding: Padding) -> None:
        self.output: list[dict[str, Any]] = []
        self._padding = padding
        self._number = 0
        self._message_id = ""
        self._delta_head = b""
        self._pieces: list[str] = []
        self._logprobs: list[TokenLogprob] = []

    def frame(self, kind: str, **fields: Any) -> bytes:
        event = {"type": kind, "sequence_number": self.next_number(), **fields}
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"

    def text(self, text: str, logprobs: Sequence[TokenLogprob]) -> bytes:
        """More of the message, which is begun where none is open."""
        begun = b"" if self._message_id else self._open()
        self._pieces.append(text)
        self._logprobs += logprobs
        said = orjson.dumps(_event_logprobs(logprobs)) if logprobs else b"[]"
        number = b"%d" % self.next_number()
        head = self._delta_head + number + b',"logprobs":' + said
        return begun + head + b',"delta":' + orjson.dumps(text) + self._padding.next()

    def call(self, call: ToolCall) -> bytes:
        """A call, whole: it is known only once its arguments are complete."""
        closed = self.close()
        item = call_item(call)
        place = {"output_index": len(self.output), "item_id": item["id"]}
        unfinished = {**item, "status": "in_progress", "arguments": ""}
        index = len(self.output)
        self.output.append(item)
        frames = (
            self.frame("response.output_item.added", output_index=index, item=unfinished),
            self.frame("response.function_call_arguments.delta", **place, delta=call.arguments),
            self.frame(
                "response.function_call_arguments.done", **place, name=call.name, arguments=call.arguments
            ),
            self.frame("response.output_item.done", output_index=index, item=item),
        )
        return closed + b"".join(frames)

    def close(self, status: str = "completed") -> bytes:
        """The end of the message, nothing where none is open."""
        if not self._message_id:
            return b""
        place = self._place()
        index = len(self.output)
        part = text_part("".join(self._pieces), self._logprobs)
        item = message_item(self._message_id, status, [part])
        said = _event_logprobs(self._logprobs)
        self.output.append(item)
        self._message_id, self._pieces, self._logprobs = "", [], []
        frames = (
            self.frame("response.output_text.done", **place, text=part["text"], logprobs=said),
            self.frame("response.content_part.done", **place, part=part),
            self.frame("response.output_item.done", output_index=index, item=item),
        )
        return b"".join(frames)

    def _open(self) -> bytes:
        self._message_id = new_id("msg")
        place = self._place()
        head = orjson.dumps({"type": TEXT_DELTA, **place})[:-1]
        self._delta_head = b"event: %b\ndata: %b" % (TEXT_DELTA.encode(), head) + b',"sequence_number":'
        item = message_item(self._message_id, "in_progress", [])
        return self.frame(
            "response.output_item.added", output_index=len(self.output), item=item
        ) + self.frame("response.content_part.added", **place, part=text_part(""))

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._message_id, "output_index": len(self.output), "content_index": 0}

    def next_number(self) -> int:
        self._number += 1
        return self._number - 1
