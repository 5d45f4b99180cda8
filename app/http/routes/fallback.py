"""Paths that no route has. They ask for a token first, as every route does."""

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from app.errors import NoRoute, NoSuchObject
from app.http.auth import FindCaller, authenticate
from app.http.endpoint import options

ACCOUNTS_PREFIX = "/client/v4/accounts/"
WHOLE_SERVER = ("/", "*")
METHODS = ("GET", "HEAD", "POST", "DELETE")


class Fallback:
    """7003 below an account (the object may be misspelt), 7000 elsewhere."""

    def __init__(self, find_caller: FindCaller) -> None:
        self._find_caller = find_caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method == "OPTIONS" and scope["path"] in WHOLE_SERVER:
            await options(METHODS)(scope, receive, send)
            return
        await authenticate(request, self._find_caller, "ai:read")
        if scope["path"].startswith(ACCOUNTS_PREFIX):
            raise NoSuchObject(scope["path"])
        raise NoRoute
