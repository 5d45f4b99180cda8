"""Paths that no route has. They ask for a token first, as every route does."""

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from app.errors import NoRoute, NoSuchObject
from app.http.auth import FindCaller, authenticate

ACCOUNTS_PREFIX = "/client/v4/accounts/"


class Fallback:
    """7003 below an account (the object may be misspelt), 7000 elsewhere."""

    def __init__(self, find_caller: FindCaller) -> None:
        self._find_caller = find_caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await authenticate(request, self._find_caller, "ai:read")
        if scope["path"].startswith(ACCOUNTS_PREFIX):
            raise NoSuchObject(scope["path"])
        raise NoRoute
