"""`…/ai/v1/chat/completions`, `completions`, `responses`, `messages` and `models`: other APIs' clients, unchanged."""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.catalog.cards import ModelCard
from app.errors import NoSuchModel
from app.http.dialect import Dialect, TextRoute
from app.http.dialects import anthropic_messages, openai, openai_responses
from app.http.dialects.readers import ADAPTER_MARK
from app.http.endpoint import Handler
from app.http.envelope import JsonResponse
from app.http.error_boundary import PathRule
from app.http.error_objects import messages_failure, openai_failure
from app.http.error_paths import COMPATIBLE, MESSAGES
from app.http.text_generation import TextGeneration
from app.types import Caller

ANTHROPIC_HEADER = b"anthropic-version"
PATH_RULES = (
    PathRule(None, MESSAGES, failure=messages_failure),
    PathRule(None, COMPATIBLE, failure=messages_failure, header=ANTHROPIC_HEADER),
    PathRule(None, COMPATIBLE, failure=openai_failure),
)
"""Who asks for models, or for what is not there, is known by the header that clients of Anthropic's API send."""


DIALECTS: list[Dialect] = [openai.routes, openai_responses.routes, anthropic_messages.routes]
"""A new dialect is a file beside these and a name here."""


class CompatibleHandlers:
    """One handler for each route."""

    def __init__(self, serving: TextGeneration) -> None:
        self._serving = serving
        cards = [model.card for model in serving.models.values()]
        aliases = ((alias, serving.models[name].card) for alias, name in serving.aliases.items())
        self._models = [
            *(_model(card.name, card) for card in cards),
            *(_model(alias, card) for alias, card in aliases),
        ]

    def text(self, route: TextRoute) -> Handler:
        """The handler of one of a dialect's routes."""

        async def answer(request: Request, caller: Caller) -> Response:
            return await self._serving.answer(request, caller, route.parse)

        async def count(request: Request, caller: Caller) -> Response:
            assert route.count is not None
            return JsonResponse(route.count(await self._serving.count(request, caller, route.parse)))

        return answer if route.count is None else count

    async def models(self, request: Request, caller: Caller) -> Response:
        return JsonResponse({"object": "list", "data": self._models})

    async def model(self, request: Request, caller: Caller) -> Response:
        """By every name that a body may have for it, also with an adapter of the caller's behind it."""
        name = request.path_params["model"].removesuffix("/")
        if not name:
            return await self.models(request, caller)
        base, _, adapter = name.partition(ADAPTER_MARK)
        found = next((model for model in self._models if model["id"] == base), None)
        if found is None:
            raise NoSuchModel(base)
        if not adapter:
            return JsonResponse(found)
        served = self._serving.model(base)
        stored = await served.pipeline.adapter(adapter, served.card, caller.account_id)
        return JsonResponse({**found, "id": name, "created": _epoch_s(stored.created_at)})


def _model(name: str, card: ModelCard) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": _epoch_s(card.raw.get("created_at")),
        "owned_by": card.author,
    }


def _epoch_s(created_at: Any) -> int:
    """A card's `created_at`, which is UTC, in seconds since the epoch; 0 where it says no time."""
    try:
        return int(datetime.fromisoformat(str(created_at)).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return 0
