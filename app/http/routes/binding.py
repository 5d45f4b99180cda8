"""Where a Worker's env.AI binding ends up: `/run` and its like, directly or through the proxy of wrangler 3.

workerd sends the binding's requests to `https://workers-binding.ai`; Miniflare brings them here with that Host.
wrangler 3 sends them to `…/ai/run/proxy` with the address in `X-Forwarded` (protocol notes, section 7).
"""

import re
from functools import partial
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from app.errors import BadInput, IncompleteRequest, NoRoute
from app.http.dialects.binding import (
    NO_STREAM_INPUT,
    NO_WEBSOCKET,
    BindingDialect,
    binding_failure,
    model_of,
)
from app.http.endpoint import Handler
from app.http.error_boundary import PathRule
from app.http.text_generation import TextGeneration
from app.types import Caller

RUN_PATHS = ("/run", "/ai-gateway/run")
MODELS_PATH = "/ai-api/models/search"
PROXY_PATH = "/ai/run/proxy"  # below an account
FORWARDED_HEADER = "x-forwarded"

BINDING_HOSTS = frozenset({"workers-binding.ai"})
_RUN = re.compile(r"/run|/ai-gateway/run")
_PROXY = re.compile(r"/client/v4/accounts/[^/]+/ai/run/proxy")
# Everything that the binding has a method for: what is not served should be answered "no route", not "no such host".
_ALL = re.compile(r"/(run|ai-gateway|ai-api|to-everything|autorag)(/.*)?")

PATH_RULES = (
    PathRule(frozenset({"GET", "HEAD", "POST"}), _RUN, BINDING_HOSTS, binding_failure),
    PathRule(frozenset({"POST"}), _PROXY, failure=binding_failure),
    # `env.AI.models()` reads an error from the envelope.
    PathRule(frozenset({"GET", "HEAD", "POST"}), _ALL, BINDING_HOSTS),
)


class BindingHandlers:
    """`models` answers a search of the catalogue."""

    def __init__(self, serving: TextGeneration, dialect: BindingDialect, models: Handler) -> None:
        self._serving = serving
        self._dialect = dialect
        self._models = models

    async def run(self, request: Request, caller: Caller) -> Response:
        """The token's account runs it."""
        if "userInputs" in request.query_params:
            raise BadInput(NO_STREAM_INPUT)
        name = model_of(request.headers)
        return await self._serving.answer(request, caller, partial(self._dialect.parse, name), name)

    async def websocket(self, request: Request, caller: Caller) -> Response:
        """What `options.websocket` asks for."""
        raise BadInput(NO_WEBSOCKET)

    async def proxied_run(self, request: Request, caller: Caller) -> Response:
        request = _forwarded(request)
        if request.url.path not in RUN_PATHS:
            raise NoRoute
        return await self.run(request, caller)

    async def proxied_get(self, request: Request, caller: Caller) -> Response:
        request = _forwarded(request)
        if request.url.path in RUN_PATHS:
            return await self.websocket(request, caller)
        if request.url.path != MODELS_PATH:
            raise NoRoute
        return await self._models(request, caller)


def _forwarded(request: Request) -> Request:
    """The request as the Worker sent it. Raises IncompleteRequest where the header is missing or no address."""
    try:
        url = urlsplit(request.headers.get(FORWARDED_HEADER, ""))
    except ValueError:
        url = urlsplit("")
    if not url.path:
        raise IncompleteRequest("the header X-Forwarded with the address that the binding asked for")
    path = {"path": url.path, "raw_path": url.path.encode(), "query_string": url.query.encode()}
    return Request({**request.scope, **path}, request.receive)
