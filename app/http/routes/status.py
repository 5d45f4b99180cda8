"""`/health`: this process answers. `/ready`: every engine can serve, else how far the start is. Both are open.

Paths that no route has ask for a token first, as every route does.
"""

import re
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.errors import NoRoute, NoSuchObject
from app.http.auth import FindCaller, authenticate
from app.http.endpoint import OpenHandler, options
from app.http.envelope import JsonResponse
from app.http.error_boundary import PathRule
from app.inference.pipeline import Pipeline
from app.types import Caller

STARTING_RETRY_AFTER_S = "5"

PATH_RULES = (
    # Probes name the machine by its address, or not at all (HTTP/1.0), and these tell nothing that a page could use.
    PathRule(frozenset({"GET", "HEAD", "OPTIONS"}), re.compile("/health|/ready"), any_host=True),
    PathRule(
        frozenset({"OPTIONS"}), re.compile(r"/|\*"), any_host=True
    ),  # HAProxy's check where none is described
)

StartStepsOf = Callable[[], Sequence[tuple[str, float]]]
"""Gives the steps of the start that were reached, each with its seconds since the beginning."""

BELOW_ACCOUNT = ("/ai/health", "/ai/v1/health")

ACCOUNTS_PREFIX = "/client/v4/accounts/"
WHOLE_SERVER = ("/", "*")
METHODS = ("GET", "HEAD", "POST", "DELETE")


async def health(request: Request) -> Response:
    return JsonResponse({"status": "ok"})


class Readiness:
    """200 when every pipeline can serve, else 503 with the engines' states and the steps of the start so far."""

    def __init__(self, pipelines: Sequence[Pipeline], start_steps: StartStepsOf) -> None:
        self._pipelines = pipelines
        self._start_steps = start_steps
        self.leaving = False
        """The server will stop: it still serves, and says that it is not ready."""

    async def __call__(self, request: Request) -> Response:
        states = [pipeline.engine.health().state for pipeline in self._pipelines]
        if all(pipeline.ready for pipeline in self._pipelines) and not self.leaving:
            return JsonResponse({"status": "ready", "engines": states})
        headers = {"retry-after": STARTING_RETRY_AFTER_S}
        steps = [{"name": name, "at_s": round(at_s, 1)} for name, at_s in self._start_steps()]
        return JsonResponse({"status": "not ready", "engines": states, "steps": steps}, 503, headers)


class ForCaller:
    """The same for a caller with a token."""

    def __init__(self, handler: OpenHandler) -> None:
        self._handler = handler

    async def __call__(self, request: Request, caller: Caller) -> Response:
        return await self._handler(request)


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
