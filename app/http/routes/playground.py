"""The playground: the files of `app/web/` at `/` and below `/playground/`, and the token for a one-time code."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from app.accounts.page_codes import PageCodes
from app.errors import OutOfCapacity, PageCodeRefused, StorageError
from app.http.body import BodyLimits, parse_json, read_body
from app.http.endpoint import OpenEndpoint
from app.http.envelope import success
from app.http.exchange import exchange_of
from app.resources import resource

WEB = resource("app/web")
INDEX = "index.html"
TOKEN_PATH = "/playground/token"  # noqa: S105
NOBODY = ""  # the account of those who have no token yet
CODE_BODY_MAX_BYTES = 1024
BUSY_RETRY_AFTER_S = 2

# Only what this server sends runs, loads or is asked; scripts can make text of text, never markup.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",  # kept by the browser, and asked for again by its ETag
}


class PageFile(OpenEndpoint):
    """One file of the page, open to everyone: it has no secret."""

    def __init__(self, files: StaticFiles, name: str) -> None:
        async def send_file(request: Request) -> Response:
            response = await files.get_response(name, request.scope)
            response.headers.update(HEADERS)
            return response

        super().__init__(send_file)


def page_routes() -> Iterator[Route]:
    """One route for each file, so nothing else of the disk has a path."""
    files = StaticFiles(directory=WEB)
    yield Route("/", PageFile(files, INDEX))
    for path in sorted(WEB.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(WEB))
            yield Route(f"/playground/{name}", PageFile(files, name))


@dataclass(frozen=True, slots=True)
class PageSignIn:
    """What a page gets for a one-time code: the development token, and the account that it serves."""

    codes: PageCodes
    account_id: str
    token: str = field(repr=False)


class CodeExchange:
    """`POST /playground/token` with `{"code": …}`: gives the development token for a code that still works.

    The code alone decides. Where a request comes from does not count: a proxy, a tunnel or another program of this
    machine comes from the same place as the person at the terminal. Raises PageCodeRefused or OutOfCapacity.
    """

    def __init__(self, sign_in: PageSignIn, limits: BodyLimits) -> None:
        self._sign_in = sign_in
        self._limits = replace(limits, max_bytes=CODE_BODY_MAX_BYTES)
        self._thread = ThreadPoolExecutor(1, "page-code")  # strangers may ask: they wait for each other

    async def __call__(self, request: Request) -> Response:
        with self._limits.room.of(NOBODY) as held:
            body = parse_json(await read_body(request, self._limits, held))
        code = body.get("code") if isinstance(body, dict) else None
        if not isinstance(code, str) or not await self._take(code):
            raise PageCodeRefused
        answer = {"account_id": self._sign_in.account_id, "token": self._sign_in.token}
        response = success(answer, exchange_of(request.scope).request_id)
        response.headers["cache-control"] = "no-store"
        return response

    async def _take(self, code: str) -> bool:
        take = self._sign_in.codes.take
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, take, code)
        except StorageError as error:  # it was not used up, and works again in a moment
            raise OutOfCapacity(str(error), BUSY_RETRY_AFTER_S) from error
