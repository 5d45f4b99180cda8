"""The empty program of the same libraries: what HTTP, JSON and tokenization cost before anything is done with them.

`python -m benchmarks.empty unary PORT TOKENIZER_JSON` or `... streams PORT TOKENS`. Same uvicorn, uvloop and httptools as
the product.
"""

import asyncio
import sys

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from tokenizers import Tokenizer

DELAY_S = 0.010
EVENT = b'data: {"response":" word","p":"abdefghijklmnoprs"}\n\n'
HEAD = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]


def echo_app(tokenizer: Tokenizer) -> Starlette:
    """POST: the body parsed, its prompt tokenized, all of it sent back."""

    async def echo(request: Request) -> Response:
        body = orjson.loads(await request.body())
        tokenizer.encode(body["prompt"], add_special_tokens=False)
        return Response(orjson.dumps(body), media_type="application/json")

    return Starlette(routes=[Route("/{path:path}", echo, methods=["POST"])])


def stream_app(tokens: int) -> ASGIApp:
    """Raw ASGI: `tokens` times the same bytes, one write each, DELAY_S apart."""

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": HEAD})
        for _ in range(tokens):
            await asyncio.sleep(DELAY_S)
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return stream


def main() -> None:
    kind, port, detail = sys.argv[1:]
    app = echo_app(Tokenizer.from_file(detail)) if kind == "unary" else stream_app(int(detail))
    uvicorn.run(
        app,
        port=int(port),
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
    )


if __name__ == "__main__":
    main()
