"""Fixtures that every test may use: the stand-in's folder, and a server on loopback with the fake engine."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from app.accounts.running import Running
from app.accounts.tokens import TokenCache
from app.adapters.inspection.base_model import read_base
from app.catalog.cards import load_cards
from app.database.opening import open_database
from app.engines.fake import FakeEngine
from app.http.routes.playground import PageSignIn
from app.http.uvicorn_server import DrainingServer, http_server, listen
from app.inference.prompt import PromptBuilder
from app.inference.tokenizer import Tokenizer
from app.server.application import Application, EngineGroup, create_app
from app.server.stores import Stores, stores_of
from app.settings import CHECKOUT, Settings, load_settings
from app.standin.expand import ensure_expanded
from tests.postgresql import PostgreSql, cluster

UNUSED_LOOKS = 10
UNUSED_LOOK_S = 0.002

HF = "@hf/mistral/mistral-7b-instruct-v0.2"
CF = "@cf/mistral/mistral-7b-instruct-v0.2-lora"


SOAK_SHARE = 40  # `make test` runs the counts of robustness tests divided by this, `make soak` in full


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the counts of robustness tests in full")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked `whole` has no smaller count: it is `make soak`'s alone."""
    if not config.getoption("--soak"):
        left_out = [item for item in items if item.get_closest_marker("whole")]
        items[:] = [item for item in items if not item.get_closest_marker("whole")]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def times(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """`times(1000)`: how often to do what must hold 1000 times."""
    whole = bool(request.config.getoption("--soak"))
    return lambda count: count if whole else max(1, count // SOAK_SHARE)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    """For the tests that ask for it: it takes a second or two to start."""
    with cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database of either kind, opened. SQLite's is in `tmp_path / "data"`."""
    sqlite = request.param == "sqlite"
    url = (
        f"sqlite:///{tmp_path / 'data' / 'outworker.db'}"
        if sqlite
        else request.getfixturevalue("postgresql").url()
    )
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def standin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_expanded(tmp_path_factory.mktemp("standin"))


@pytest.fixture(scope="session")
def prompts(standin_folder: Path) -> PromptBuilder:
    return PromptBuilder(Tokenizer.from_folder(standin_folder))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The fake engine's example settings, on a free port, with the test's own data directory."""
    environ = {"PORT": "0", "OUTWORKER_DATA_DIR": str(tmp_path / "data")}
    return load_settings(CHECKOUT / "wrangler-like-config" / "fake-engine.toml", None, environ)


@dataclass
class Served:
    """A server that listens: its client carries the token of account `local`."""

    url: str
    client: httpx.AsyncClient
    engine: FakeEngine
    stores: Stores
    token: str
    app: Application
    settings: Settings
    server: DrainingServer

    def path(self, model: str = HF, account: str = "local") -> str:
        return f"/client/v4/accounts/{account}/ai/run/{model}"

    async def run(self, body: Any, model: str = HF, **options: Any) -> httpx.Response:
        return await self.client.post(self.path(model), json=body, **options)


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve(settings: Settings, prompts: PromptBuilder, standin_folder: Path) -> Serve:
    """`async with serve(engine=…, limits={…}, server={…}) as served` runs a real uvicorn in this event loop."""

    @asynccontextmanager
    async def run(
        engine: FakeEngine | None = None,
        limits: dict[str, Any] | None = None,
        server: dict[str, Any] | None = None,
        wait_ready: bool = True,
        adapters: bool = True,
    ) -> AsyncIterator[Served]:
        chosen = replace(
            settings,
            limits=replace(settings.limits, **(limits or {})),
            server=replace(settings.server, **(server or {})),
        )
        async with running(
            chosen,
            engine or FakeEngine(),
            prompts,
            standin_folder,
            wait_ready=wait_ready,
            adapters=adapters,
        ) as served:
            yield served

    return run


@asynccontextmanager
async def running(
    settings: Settings,
    engine: FakeEngine,
    prompts: PromptBuilder,
    standin: Path,
    *,
    wait_ready: bool,
    adapters: bool,
) -> AsyncIterator[Served]:
    stores = stores_of(settings)
    _, token = stores.tokens.create("local", ["ai:write"])
    cards = tuple(load_cards(CHECKOUT / "schemas").values())
    base = read_base(standin, "stand-in")
    app = create_app(
        settings,
        [EngineGroup(engine, "stand-in", cards, lambda: prompts, lambda: base, adapters)],
        find_caller=TokenCache(stores.tokens, time.monotonic).caller,
        running=Running(stores.tokens.revoked),
        finetunes=stores.finetunes,
        sign_in=PageSignIn(stores.page_codes, "local", token),
    )
    listening = listen(settings)
    server = http_server(settings, app)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    headers = {"authorization": f"Bearer {token}"}
    try:
        # Over plain HTTP: to read the certificates of the world for each client takes longer than most tests.
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, verify=False) as client:
            while not server.started or (wait_ready and not all(p.ready for p in app.pipelines)):
                await asyncio.sleep(0.005)
                assert not task.done(), "the server ended before it was ready"
            yield Served(url, client, engine, stores, token, app, settings, server)
    finally:
        await ended(server, task)
        listening.close()


async def ended(server: DrainingServer, task: asyncio.Task[None]) -> None:
    """Ends a server. Where no test ended it and nobody uses it, without the 0.2 s in which uvicorn waits to see that."""
    server.force_exit = server.should_exit
    if not server.force_exit and await unused(server):
        task.cancel()  # in its main loop, which sleeps
        await asyncio.wait([task])
        for listener in server.servers:
            listener.close()
        await server.lifespan.shutdown()
    server.should_exit = True
    if not task.done():
        await task


async def unused(server: DrainingServer) -> bool:
    """Whether its connections are closed and its requests over, at once or nearly so."""
    state = server.server_state
    for _ in range(UNUSED_LOOKS):
        for connection in state.connections:
            connection.shutdown()
        if not state.connections and not state.tasks:
            return server.started
        await asyncio.sleep(UNUSED_LOOK_S)
    return False
