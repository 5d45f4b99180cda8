"""A route's endpoint: which methods, which scope, then the handler. Every route but the open ones is made here."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.accounts.running import Running
from app.errors import MethodNotAllowed
from app.http.auth import FindCaller, authenticate
from app.http.connection import connection_of
from app.types import Caller

Handler = Callable[[Request, Caller], Awaitable[Response]]
OpenHandler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Method:
    """What one HTTP method of a route does, and the scope that it takes."""

    scope: str
    handler: Handler


def reads(handler: Handler) -> Method:
    """For tokens that may read, and so for those that may write."""
    return Method("ai:read", handler)


def writes(handler: Handler) -> Method:
    """For tokens that may write."""
    return Method("ai:write", handler)


def with_head(methods: Iterable[str]) -> tuple[str, ...]:
    """HEAD goes with GET (RFC 9110, 9.3.2): answered as that, and the connection leaves the body out."""
    return tuple(other for method in methods for other in (("GET", "HEAD") if method == "GET" else (method,)))


def options(methods: Iterable[str]) -> Response:
    """The answer to OPTIONS."""
    return Response(status_code=204, headers={"allow": ", ".join((*methods, "OPTIONS"))})


class SecuredEndpoint:
    """Authenticates, then looks at the method: a stranger learns nothing of the routes.

    What is answered ends when the token is revoked meanwhile.
    """

    def __init__(self, find_caller: FindCaller, running: Running, **methods: Method) -> None:
        self._find_caller = find_caller
        self._running = running
        self.methods: Mapping[str, Method] = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        method = self.methods.get("GET" if request.method == "HEAD" else request.method)
        caller = await authenticate(request, self._find_caller, method.scope if method else "ai:read")
        if method is None:
            raise MethodNotAllowed(request.method, with_head(self.methods))
        connection_of(scope).kept = True
        async with self._running.by(caller):
            response = await method.handler(request, caller)
            await response(scope, receive, send)


class OpenEndpoint:
    """Answers without a token: GET and HEAD, or the `methods` given. What can be got can be asked for with OPTIONS."""

    def __init__(self, handler: OpenHandler, *methods: str) -> None:
        self._handler = handler
        self.methods = methods or ("GET", "HEAD")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        if request.method == "OPTIONS" and "GET" in self.methods:
            await options(self.methods)(scope, receive, send)
            return
        if request.method not in self.methods:
            offered = ("OPTIONS",) if "GET" in self.methods else ()
            raise MethodNotAllowed(request.method, (*self.methods, *offered))
        response = await self._handler(request)
        await response(scope, receive, send)
