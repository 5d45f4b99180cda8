"""The playground: the files of `app/web/` at `/` and below `/playground/`, and the token that its page may begin with."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from app.errors import CredentialsMissing
from app.http.auth import FindCaller
from app.http.endpoint import OpenEndpoint, SecuredEndpoint
from app.http.envelope import success
from app.http.exchange import exchange_of
from app.http.headers import value, values
from app.http.peer import is_loopback, is_own_user

WEB = Path(__file__).resolve().parents[2] / "web"
INDEX = "index.html"
HTTP_PORT = 80
TOKEN_PATH = "/playground/token"  # noqa: S105
FORWARDED = (b"forwarded", b"via", b"x-real-ip")
FORWARDED_PREFIX = b"x-forwarded"

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


class TokenForPage:
    """`POST /playground/token`: the development token, for the page in a browser of the server's own user.

    Everybody else is asked for credentials, as on every route. What it takes: the server listens on loopback only, the
    peer is there too and its process runs as the server's user, nothing says that the request was forwarded, and the
    browser says that this server's own page asks (`Sec-Fetch-Site`, and `Origin`, which no page can forge).
    """

    def __init__(self, find_caller: FindCaller, account_id: str, token: str) -> None:
        self._secured = SecuredEndpoint(find_caller)
        self._answer = {"account_id": account_id, "token": token}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await self._secured(scope, receive, send)
            return
        if not (_asked_by_page(scope) and await asyncio.to_thread(_from_own_user, scope)):
            raise CredentialsMissing
        response = success(self._answer, exchange_of(scope).request_id)
        response.headers["cache-control"] = "no-store"
        await response(scope, receive, send)


def _asked_by_page(scope: Scope) -> bool:
    origin = f"http://{value(scope, b'host')}"
    own_page = values(scope, b"sec-fetch-site") == ["same-origin"] and values(scope, b"origin") == [origin]
    forwarded = any(name in FORWARDED or name.startswith(FORWARDED_PREFIX) for name, _ in scope["headers"])
    return own_page and not forwarded and origin in _own_origins(*scope["server"])


def _own_origins(address: str, port: int) -> set[str]:
    """What a browser on this machine calls the server, where nothing stands between them."""
    hosts = {"localhost", "127.0.0.1", "[::1]", f"[{address}]" if ":" in address else address}
    end = "" if port == HTTP_PORT else f":{port}"
    return {f"http://{host}{end}" for host in hosts}


def _from_own_user(scope: Scope) -> bool:
    """Reads the system's table of connections, which may be long."""
    peer, server = scope["client"], scope["server"]
    return is_loopback(peer[0]) and is_own_user((peer[0], peer[1]), (server[0], server[1]))
