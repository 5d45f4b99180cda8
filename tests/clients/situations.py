"""Four servers with the fake engine in a process of their own, and what a client's program is told of them.

`plain` answers a sentence and has the adapter `pirate`, `calling` calls a tool, `objects` answers an object, `full`
has no room for another request. `prompted` is `objects` once more, for clients that ask for an object in words alone.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from app.adapters.inspection.base_model import read_base
from app.engines.fake import FakeEngine
from app.inference.prompt import PromptBuilder
from app.inference.tokenizer import Tokenizer
from app.settings import load_settings
from tests.clients.finetunes import PIRATE
from tests.conftest import CF, HF, Served, running
from tests.live.server import CHECKOUT

SETTINGS = CHECKOUT / "wrangler-like-config" / "fake-engine.toml"
PLACE = {"city": "Berlin", "people": 3_700_000}
CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Berlin"}}</tool_call>'
FOREVER_S = 3600.0
KINDS: dict[str, Callable[[], FakeEngine]] = {
    "plain": FakeEngine,
    "calling": lambda: FakeEngine(answer=CALL),
    "objects": lambda: FakeEngine(answer=json.dumps(PLACE)),
    "full": lambda: FakeEngine(delay_s=FOREVER_S),
}


@contextmanager
def situations(folder: Path, standin: Path) -> Iterator[str]:
    """All four, up until the block ends: the first argument of each program in tests/clients/programs."""
    command = [sys.executable, "-m", __name__, str(folder), str(standin)]
    with subprocess.Popen(
        command, cwd=CHECKOUT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line, "the servers did not start"
            yield line.strip()
        finally:
            process.stdin.close()


def told(servers: dict[str, tuple[str, str]], model: str = HF, lora: str = f"{CF}:pirate") -> str:
    """What a program gets of these addresses and tokens."""
    places = {
        kind: {"base": f"{url}/client/v4/accounts/local/ai", "token": token}
        for kind, (url, token) in servers.items()
    }
    return json.dumps({**places, "prompted": places["objects"], "model": model, "lora": lora})


async def serve_until_told(folder: Path, standin: Path) -> None:
    """Prints one line when all are ready, and ends when standard input does."""
    prompts = PromptBuilder(Tokenizer.from_folder(standin))
    async with AsyncExitStack() as stack:
        served = {kind: await _serve(stack, folder / kind, kind, prompts, standin) for kind in KINDS}
        print(told({kind: (server.url, server.token) for kind, server in served.items()}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def _serve(
    stack: AsyncExitStack, folder: Path, kind: str, prompts: PromptBuilder, standin: Path
) -> Served:
    settings = load_settings(SETTINGS, None, {"PORT": "0", "OUTWORKER_DATA_DIR": str(folder)})
    if kind == "full":
        limits = replace(settings.limits, max_waiting_requests=1, request_deadline_s=FOREVER_S)
        settings = replace(settings, limits=limits)
    server = running(settings, KINDS[kind](), prompts, standin, wait_ready=True, adapters=True)
    served = await stack.enter_async_context(server)
    base = read_base(standin, "stand-in")
    served.stores.adapters.add("local", "pirate", CF, "stand-in", PIRATE, base)
    if kind == "full":
        await _fill(stack, served)
    return served


async def _fill(stack: AsyncExitStack, served: Served) -> None:
    """One request that is never answered takes the only place."""
    asking = asyncio.create_task(served.run({"prompt": "Hello"}, timeout=None))
    stack.callback(asking.cancel)
    while not served.engine.running:
        await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(serve_until_told(Path(sys.argv[1]), Path(sys.argv[2])))
