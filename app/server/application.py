"""create_app: the one place where parts are put together."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from app.accounts.running import Running
from app.adapters.inspection.base_model import BaseShape
from app.adapters.lifecycle import Finetunes
from app.adapters.maintenance import maintain
from app.adapters.resolver import Resolver
from app.catalog.cards import ModelCard
from app.engines.engine import Engine, trim
from app.http.auth import FindCaller
from app.http.body import BodyLimits
from app.http.body_room import BodyRoom
from app.http.dialect import Dialect
from app.http.dialects.binding import BindingDialect
from app.http.dialects.native import NativeDialect
from app.http.endpoint import Method, OpenEndpoint, SecuredEndpoint, reads, writes
from app.http.error_boundary import Boundary
from app.http.names import MODEL, MODEL_TO_RUN
from app.http.openapi.route import OPENAPI_PATH, OpenApi
from app.http.padding import Padding
from app.http.routes import accounts, binding, compatible_apis, playground, status
from app.http.routes.assets import AssetHandler, UploadLimits
from app.http.routes.catalog import CatalogueHandlers, served_cards
from app.http.routes.finetunes import FinetuneHandlers
from app.http.routes.run import RunHandlers
from app.http.routes.status import Fallback
from app.http.sse import StreamLimits
from app.http.tally import Tally
from app.http.text_generation import ServedModel, TextGeneration
from app.inference.admission import Admission
from app.inference.pipeline import Pipeline
from app.inference.prompt import PromptBuilder
from app.settings import Settings
from app.settings.aliases import aliases_of

log = logging.getLogger(__name__)

ACCOUNT = "/client/v4/accounts/{account_id}"


@dataclass(frozen=True, slots=True)
class EngineGroup:
    """One engine and the cards that it serves: cards with equal weights share it. Adapters are kept for `weights`.

    `load_base` gives the shape that adapters of these weights are checked against; it may be called often.
    """

    engine: Engine
    weights: str
    cards: tuple[ModelCard, ...]
    load_prompts: Callable[[], PromptBuilder]
    load_base: Callable[[], BaseShape]
    adapters: bool = True


@dataclass(frozen=True, slots=True)
class Application:
    """The ASGI application, the pipelines behind it, the room for bodies, and what is counted for the log."""

    asgi: ASGIApp
    pipelines: tuple[Pipeline, ...]
    routes: tuple[Route, ...]
    tally: Tally
    room: BodyRoom
    readiness: status.Readiness

    def leave(self) -> None:
        """Say that this server is not ready, so that a balancer sends nothing more; what comes is still answered."""
        self.readiness.leaving = True

    def drain(self) -> None:
        """Refuse new requests from now on."""
        for pipeline in self.pipelines:
            pipeline.drain()


def create_app(
    settings: Settings,
    groups: Sequence[EngineGroup],
    *,
    find_caller: FindCaller,
    running: Running,
    finetunes: Finetunes,
    sign_in: playground.PageSignIn | None = None,
    start_steps: status.StartStepsOf = lambda: (),
    on_start: Callable[[BaseException | None], None] = lambda failure: None,
    dialects: Sequence[Dialect] = compatible_apis.DIALECTS,
) -> Application:
    """`on_start` is called once: with None when every engine is ready, or with what failed.

    `sign_in` is what the playground's page gets for a one-time code; `start_steps` is what `/ready` says of the start.
    """
    resolver = Resolver(finetunes.store, time.monotonic)
    finetunes.on_change(resolver.forget)
    pipelines = tuple(_pipeline(settings, group, resolver) for group in groups)
    models = {
        card.name: ServedModel(card, pipeline)
        for group, pipeline in zip(groups, pipelines, strict=True)
        for card in group.cards
    }
    bases = {group.weights: group.load_base for group in groups}
    endpoints = Endpoints(settings, find_caller, running, _body_room(settings))
    aliases = {alias: name for alias, name in aliases_of(settings.models).items() if name in models}
    limits = settings.limits
    arrivals = Admission(limits.max_waiting_requests, limits.max_waiting_tokens)
    serving = TextGeneration(models, endpoints.body_limits, endpoints.stream_limits, arrivals, aliases)
    padding = Padding(settings.server.stream_padding)
    readiness = status.Readiness(pipelines, start_steps)
    routes = [  # looked at in this order, so what is called most comes first
        *_run_routes(endpoints, serving, padding),
        *_binding_routes(endpoints, serving, padding),
        *_compatible_routes(endpoints, serving, padding, dialects),
        *_finetune_routes(endpoints, serving, finetunes, bases),
        *_catalogue_routes(endpoints, serving),
        Route("/health", OpenEndpoint(status.health)),
        Route("/ready", OpenEndpoint(readiness)),
        # Load generators ask below the address that they were given.
        *(endpoints.route(path, GET=reads(status.ForCaller(readiness))) for path in status.BELOW_ACCOUNT),
        *_playground_routes(endpoints, sign_in),
    ]
    routes.append(Route(OPENAPI_PATH, OpenEndpoint(OpenApi(served_cards(models.values()), routes))))
    router = Router(
        routes,
        redirect_slashes=False,
        default=Fallback(find_caller),
        lifespan=lambda app: _lifespan(pipelines, on_start, partial(maintain, finetunes, bases), running),
    )
    allowed_hosts = frozenset((*settings.server.allowed_hosts, settings.server.host))
    tally = Tally()
    rules = (*binding.PATH_RULES, *compatible_apis.PATH_RULES, *status.PATH_RULES)
    return Application(
        _with_cors(Boundary(router, allowed_hosts, rules, tally.count), settings),
        pipelines,
        tuple(routes),
        tally,
        endpoints.room,
        readiness,
    )


def _pipeline(settings: Settings, group: EngineGroup, resolver: Resolver) -> Pipeline:
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


def _body_room(settings: Settings) -> BodyRoom:
    """One body fits always."""
    limits = settings.limits
    most, of_account = (
        max(bound, limits.max_body_bytes)
        for bound in (limits.max_bodies_bytes, limits.max_account_bodies_bytes)
    )
    return BodyRoom(most, of_account, trim)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Makes secured routes, and the limits that they share."""

    settings: Settings
    find_caller: FindCaller
    running: Running
    room: BodyRoom

    def route(self, path: str, **methods: Method) -> Route:
        """`path` is below the account."""
        return Route(ACCOUNT + path, self.secured(**methods))

    def secured(self, **methods: Method) -> SecuredEndpoint:
        return SecuredEndpoint(self.find_caller, self.running, **methods)

    @property
    def body_limits(self) -> BodyLimits:
        limits = self.settings.limits
        return BodyLimits(limits.max_body_bytes, limits.slow_sender_s, limits.body_deadline_s, self.room)

    @property
    def stream_limits(self) -> StreamLimits:
        return StreamLimits(self.settings.limits.ping_s, self.settings.limits.slow_reader_s)


def _run_routes(endpoints: Endpoints, serving: TextGeneration, padding: Padding) -> list[Route]:
    run = RunHandlers(serving, NativeDialect(padding))
    return [
        endpoints.route(f"/ai/run/{{model:{MODEL_TO_RUN}}}", POST=reads(run.model_in_path)),
        endpoints.route("/ai/run", POST=reads(run.model_in_body)),
    ]


def _binding_routes(endpoints: Endpoints, serving: TextGeneration, padding: Padding) -> list[Route]:
    """The env.AI binding of a Worker."""
    catalogue = CatalogueHandlers(served_cards(serving.models.values()), serving.aliases)
    handlers = binding.BindingHandlers(serving, BindingDialect(padding), catalogue.search)
    run = {"GET": reads(handlers.websocket), "POST": reads(handlers.run)}
    proxy = {"GET": reads(handlers.proxied_get), "POST": reads(handlers.proxied_run)}
    return [
        endpoints.route(binding.PROXY_PATH, **proxy),
        *(Route(path, endpoints.secured(**run)) for path in binding.RUN_PATHS),
        Route(binding.MODELS_PATH, endpoints.secured(GET=reads(catalogue.search))),
    ]


def _compatible_routes(
    endpoints: Endpoints, serving: TextGeneration, padding: Padding, dialects: Sequence[Dialect]
) -> list[Route]:
    """Other APIs' clients: each dialect's routes, and the list of models."""
    handlers = compatible_apis.CompatibleHandlers(serving)
    asked = [route for dialect in dialects for route in dialect(padding)]
    return [
        *(
            endpoints.route(route.path + end, POST=reads(handlers.text(route)))
            for route in asked
            for end in ("", "/")
        ),
        endpoints.route("/ai/v1/models", GET=reads(handlers.models)),
        endpoints.route(f"/ai/v1/models/{{model:{MODEL}}}", GET=reads(handlers.model)),
    ]


def _finetune_routes(
    endpoints: Endpoints,
    serving: TextGeneration,
    finetunes: Finetunes,
    bases: Mapping[str, Callable[[], BaseShape]],
) -> list[Route]:
    limits = endpoints.settings.limits
    handlers = FinetuneHandlers(finetunes, serving, endpoints.body_limits)
    uploads = UploadLimits(
        limits.max_uploads, limits.slow_sender_s, limits.upload_deadline_s, limits.min_free_bytes
    )
    assets = AssetHandler(finetunes, bases, uploads)
    paths = {
        "/ai/finetunes": {"GET": reads(handlers.list), "POST": writes(handlers.create)},
        "/ai/finetunes/public": {"GET": reads(handlers.public)},
        "/ai/finetunes/{finetune}": {"GET": reads(handlers.show), "DELETE": writes(handlers.delete)},
        "/ai/finetunes/{finetune}/finetune-assets": {"POST": writes(assets)},
    }
    # Cloudflare's documentation writes these with a slash at the end, its clients without.
    return [endpoints.route(path + end, **methods) for path, methods in paths.items() for end in ("", "/")]


def _catalogue_routes(endpoints: Endpoints, serving: TextGeneration) -> list[Route]:
    """What is served, and whose token it is."""
    catalogue = CatalogueHandlers(served_cards(serving.models.values()), serving.aliases)
    client = ACCOUNT.removesuffix("/accounts/{account_id}")
    handlers = {
        f"{ACCOUNT}/ai/models/search": catalogue.search,
        f"{ACCOUNT}/ai/models/schema": catalogue.schema,
        f"{ACCOUNT}/ai/tasks/search": catalogue.tasks,
        f"{ACCOUNT}/ai/authors/search": catalogue.authors,
        f"{client}/accounts": accounts.accounts,
        f"{client}/memberships": accounts.memberships,
        f"{client}/user": accounts.user,
        f"{client}/user/tokens/verify": accounts.verify_token,
        f"{ACCOUNT}/tokens/verify": accounts.verify_token,
    }
    return [
        Route(path + end, endpoints.secured(GET=reads(handler)))
        for path, handler in handlers.items()
        for end in ("", "/")
    ]


def _playground_routes(endpoints: Endpoints, sign_in: playground.PageSignIn | None) -> list[Route]:
    """The page, and the token for it in exchange for a one-time code."""
    settings = endpoints.settings
    if not settings.server.playground:
        return []
    routes = [*playground.page_routes()]
    if sign_in is not None:
        exchange = playground.CodeExchange(sign_in, endpoints.body_limits)
        routes.append(Route(playground.TOKEN_PATH, OpenEndpoint(exchange, "POST")))
    return routes


def _with_cors(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Web pages of other origins get in only where the settings name them. Outermost: errors must be readable too."""
    if not settings.server.cors_origins:
        return app
    from app.http.cors import Cors  # noqa: PLC0415  only where it is used

    return Cors(
        app,
        allow_origins=settings.server.cors_origins,
        allow_methods=["GET", "HEAD", "POST", "DELETE"],
        allow_headers=["*"],  # SDKs send headers of their own; the token decides, no cookie does
        expose_headers=["cf-ai-req-id", "retry-after"],
        allow_private_network=True,  # asked for by a page of the internet before it may reach this network
        max_age=600,
    )


@asynccontextmanager
async def _lifespan(
    pipelines: Sequence[Pipeline],
    on_start: Callable[[BaseException | None], None],
    maintain_adapters: Callable[[], Awaitable[None]],
    running: Running,
) -> AsyncIterator[None]:
    """Engines start in the background, so that `/health` answers meanwhile."""

    async def start() -> None:
        await asyncio.gather(*(pipeline.start() for pipeline in pipelines))

    maintaining: list[asyncio.Future[None]] = []

    def started(task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            on_start(task.exception())
            maintaining.append(asyncio.ensure_future(maintain_adapters()))

    starting = asyncio.create_task(start())
    starting.add_done_callback(started)
    watching = asyncio.create_task(running.watch())
    yield
    for task in (starting, watching, *maintaining):
        task.cancel()
    await asyncio.gather(*(pipeline.stop(0) for pipeline in pipelines))
