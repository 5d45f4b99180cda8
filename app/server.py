"""create_app: the one place where parts are put together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from app.catalog.cards import ModelCard
from app.engines.engine import Engine
from app.http.auth import FindCaller
from app.http.body import BodyLimits
from app.http.boundary import Boundary
from app.http.endpoint import OpenEndpoint, SecuredEndpoint
from app.http.padding import Padding
from app.http.routes.fallback import Fallback
from app.http.routes.health import Readiness, health
from app.http.routes.run import RunHandlers, ServedModel
from app.http.sse import StreamLimits
from app.inference.pipeline import AdapterResolver, Pipeline
from app.inference.prompt import PromptBuilder
from app.settings import Settings

log = logging.getLogger(__name__)

ACCOUNT = "/client/v4/accounts/{account_id}"


@dataclass(frozen=True, slots=True)
class EngineGroup:
    """One engine and the cards that it serves: cards with equal weights share it."""

    engine: Engine
    weights: str
    cards: tuple[ModelCard, ...]
    load_prompts: Callable[[], PromptBuilder]
    adapters: bool = True


@dataclass(frozen=True, slots=True)
class Server:
    """The ASGI application, and the pipelines behind it."""

    asgi: ASGIApp
    pipelines: tuple[Pipeline, ...]
    routes: tuple[Route, ...]

    def drain(self) -> None:
        """Refuse new requests from now on."""
        for pipeline in self.pipelines:
            pipeline.drain()


def create_app(
    settings: Settings,
    groups: Sequence[EngineGroup],
    *,
    find_caller: FindCaller,
    resolver: AdapterResolver,
    on_start: Callable[[BaseException | None], None] = lambda failure: None,
) -> Server:
    """`on_start` is called once: with None when every engine is ready, or with what failed."""
    pipelines = tuple(_pipeline(settings, group, resolver) for group in groups)
    models = {
        card.name: ServedModel(card, pipeline)
        for group, pipeline in zip(groups, pipelines, strict=True)
        for card in group.cards
    }
    routes = _routes(settings, models, pipelines, find_caller)
    router = Router(
        routes,
        redirect_slashes=False,
        default=Fallback(find_caller),
        lifespan=lambda app: _lifespan(pipelines, on_start),
    )
    allowed_hosts = frozenset((*settings.server.allowed_hosts, settings.server.host))
    return Server(_with_cors(Boundary(router, allowed_hosts), settings), pipelines, tuple(routes))


def _pipeline(settings: Settings, group: EngineGroup, resolver: AdapterResolver) -> Pipeline:
    return Pipeline(
        group.engine,
        group.load_prompts,
        resolver,
        weights=group.weights,
        adapters=group.adapters,
        max_waiting_requests=settings.limits.max_waiting_requests,
        max_waiting_tokens=settings.limits.max_waiting_tokens,
        request_deadline_s=settings.limits.request_deadline_s,
    )


def _routes(
    settings: Settings,
    models: dict[str, ServedModel],
    pipelines: Sequence[Pipeline],
    find_caller: FindCaller,
) -> list[Route]:
    limits = settings.limits
    run = RunHandlers(
        models,
        BodyLimits(limits.max_body_bytes, limits.slow_sender_s),
        StreamLimits(limits.ping_s, limits.slow_reader_s),
        Padding(settings.server.stream_padding),
    )
    return [
        Route(ACCOUNT + "/ai/run", SecuredEndpoint(find_caller, "ai:read", POST=run.model_in_body)),
        Route(
            ACCOUNT + "/ai/run/{model:path}", SecuredEndpoint(find_caller, "ai:read", POST=run.model_in_path)
        ),
        Route("/health", OpenEndpoint(health)),
        Route("/ready", OpenEndpoint(Readiness(pipelines))),
    ]


def _with_cors(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Web pages of other origins get in only where the settings name them. Outermost: errors must be readable too."""
    if not settings.server.cors_origins:
        return app
    from starlette.middleware.cors import CORSMiddleware  # noqa: PLC0415  only where it is used

    return CORSMiddleware(
        app,
        allow_origins=settings.server.cors_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],  # SDKs send headers of their own; the token decides, no cookie does
        expose_headers=["cf-ai-req-id", "retry-after"],
        max_age=600,
    )


@asynccontextmanager
async def _lifespan(
    pipelines: Sequence[Pipeline], on_start: Callable[[BaseException | None], None]
) -> AsyncIterator[None]:
    """Engines start in the background, so that `/health` answers meanwhile."""

    async def start() -> None:
        await asyncio.gather(*(pipeline.start() for pipeline in pipelines))

    def started(task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            on_start(task.exception())

    starting = asyncio.create_task(start())
    starting.add_done_callback(started)
    yield
    starting.cancel()
    await asyncio.gather(*(pipeline.stop(0) for pipeline in pipelines))
