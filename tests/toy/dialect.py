"""A dialect in one file: `{"say": …}` is answered as plain text. Its registration is a name (`tests.toy.serve`)."""

from collections.abc import Sequence
from typing import Any

from starlette.responses import PlainTextResponse, Response

from app.errors import BadInput
from app.http.dialect import Frames, ParsedRequest, TextRoute
from app.http.padding import Padding
from app.inference.pipeline import Run

MODEL = "@hf/mistral/mistral-7b-instruct-v0.2"


class ToyReply:
    async def json(self, run: Run) -> str:
        return (await run.collect()).text

    def events(self, run: Run) -> Frames:
        frame = b""
        while (delta := (yield frame)) is not None:
            frame = b"data: " + delta.text.encode() + b"\n\n"
        yield b"data: %d tokens in all\n\n" % run.usage.total_tokens

    def response(self, result: Any, request_id: str, hints: Sequence[str]) -> Response:
        return PlainTextResponse(result)


def parse(body: Any) -> ParsedRequest:
    if not isinstance(body, dict) or not isinstance(body.get("say"), str):
        raise BadInput('Error: expected {"say": "…"}')
    asked = {"prompt": body["say"], "stream": body.get("stream", False)}
    return ParsedRequest(MODEL, asked, ToyReply())


def routes(padding: Padding) -> list[TextRoute]:
    return [TextRoute("/ai/toy", parse), TextRoute("/ai/toy/count", parse, lambda tokens: {"tokens": tokens})]
