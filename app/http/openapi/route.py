"""`/openapi.json`: this server's OpenAPI document. Open, because it tells what every copy of this server tells."""

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.catalog.cards import ModelCard
from app.http.envelope import JsonResponse
from app.http.openapi.document import make_document

OPENAPI_PATH = "/openapi.json"


class OpenApi:
    """The document of `routes`, which may still grow until the first request. Made once, then kept as bytes."""

    def __init__(self, cards: Sequence[ModelCard], routes: Sequence[Route]) -> None:
        self._cards = cards
        self._routes = routes

    async def __call__(self, request: Request) -> Response:
        return Response(self._bytes, media_type="application/json")

    @cached_property
    def _bytes(self) -> bytes:
        document = make_document(self._cards, self._routes, version("outworker"))
        return bytes(JsonResponse(document).body)
