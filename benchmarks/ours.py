"""Our server with the fake engine, without a model: `python -m benchmarks.ours unary|streams|merged PORT DATA_DIR`.

All of it is the product: settings, database, tokens, tokenizer, prompts, admission, uvicorn with our bounds.
"""

import asyncio
import sys
import time
from pathlib import Path

import uvloop

from app.accounts.development import development_token
from app.accounts.running import Running
from app.accounts.tokens import TokenCache
from app.adapters.inspection.base_model import read_base
from app.catalog.cards import load_cards
from app.engines.fake import FakeEngine
from app.http.uvicorn_server import http_server, listen
from app.inference.prompt import PromptBuilder
from app.inference.tokenizer import Tokenizer
from app.server.application import EngineGroup, create_app
from app.server.stores import stores_of
from app.settings import CHECKOUT, Settings, load_settings
from app.standin.expand import ensure_expanded
from benchmarks.empty import DELAY_S

MERGED = 8
FAKE_ENGINE = CHECKOUT / "wrangler-like-config" / "fake-engine.toml"


def engine(kind: str) -> FakeEngine:
    """unary: an answer of one token at once, because tokens are measured by themselves; streams: one each DELAY_S;
    merged: MERGED of them in one delta, as vLLM gives them to a server that is busy.
    """
    if kind == "unary":
        return FakeEngine(answer="Yes.")
    return FakeEngine(delay_s=DELAY_S, endless=True, tokens_per_delta=MERGED if kind == "merged" else 1)


async def serve(settings: Settings, kind: str) -> None:
    stores = stores_of(settings)
    development_token(stores.tokens, settings.server.data_dir, settings.account_id)
    folder = ensure_expanded(settings.server.data_dir)
    cards = tuple(load_cards(CHECKOUT / "schemas").values())
    group = EngineGroup(
        engine(kind),
        "stand-in",
        cards,
        lambda: PromptBuilder(Tokenizer.from_folder(folder)),
        lambda: read_base(folder, "stand-in"),
    )
    app = create_app(
        settings,
        [group],
        find_caller=TokenCache(stores.tokens, time.monotonic).caller,
        running=Running(stores.tokens.revoked),
        finetunes=stores.finetunes,
    )
    await http_server(settings, app).serve(sockets=[listen(settings)])


def main() -> None:
    kind, port, data_dir = sys.argv[1:]
    settings = load_settings(
        FAKE_ENGINE, None, {"PORT": port, "OUTWORKER_DATA_DIR": str(Path(data_dir).resolve())}
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, kind))


if __name__ == "__main__":
    main()
