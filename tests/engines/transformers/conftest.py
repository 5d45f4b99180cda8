"""One engine for the tests of a module, on the stand-in in float32, and what they ask it with."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from app.adapters.inspection.base_model import read_base
from app.adapters.inspection.inspector import inspect_adapter
from app.adapters.inspection.modules import config_bytes
from app.engines.transformers.engine import TransformersEngine
from app.engines.transformers.plan import TransformersPlan
from app.inference.prompt import PromptBuilder
from app.settings import CHECKOUT
from app.standin.recipe.text import questions
from app.types import Delta, Prompt, Sampling, StoredAdapter, TextRequest

SLOTS = 3
MAX_MODEL_LEN = 1024
MAX_ROWS = 40
GREEDY = Sampling(max_tokens=12, temperature=0.0)
WHOLE = Sampling(max_tokens=110, temperature=0.0)
"""Room for every taught answer."""


@dataclass(frozen=True)
class Answer:
    text: str
    token_ids: list[int]
    deltas: list[Delta]

    @property
    def reason(self) -> str | None:
        return self.deltas[-1].finish_reason


Ask = Callable[..., Awaitable[Answer]]
PromptOf = Callable[[str], Prompt]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Of a module, so that its engine has one event loop, and not of the session: anyio has one loop for all tests as
    long as such a fixture lives, and what ends the loop in one test (hypothesis cuts examples so) fails every later one.
    """
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Several wait for each other where other programs use the cores too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def plan(standin_folder: Path) -> TransformersPlan:
    return TransformersPlan(
        folder=standin_folder,
        dtype="float32",
        quantization="none",
        max_model_len=MAX_MODEL_LEN,
        slots=SLOTS,
        max_rows=MAX_ROWS,
        kv_tokens=MAX_ROWS * MAX_MODEL_LEN,
        threads=1,
        step_tokens=96,
    )


@pytest.fixture(scope="module")
async def engine(plan: TransformersPlan, anyio_backend: str) -> AsyncIterator[TransformersEngine]:
    engine = TransformersEngine(lambda: plan, wait_s=5)
    await engine.start()
    yield engine
    await engine.stop(0)


@pytest.fixture(scope="session")
def adapters(standin_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, StoredAdapter]:
    """Both examples as the store would keep them."""
    base, folder = read_base(standin_folder), tmp_path_factory.mktemp("adapters")
    return {name: stored(CHECKOUT / "adapters" / name, folder / name, base) for name in ("pirate", "json")}


def stored(source: Path, folder: Path, base: object) -> StoredAdapter:
    folder.mkdir()
    inspected = inspect_adapter(source, base)  # type: ignore[arg-type]
    assert inspected.config is not None
    (folder / "adapter_config.json").write_bytes(config_bytes(inspected.config))
    shutil.copy(source / "adapter_model.safetensors", folder)
    return StoredAdapter(
        source.name, "account", source.name, "model", "stand-in", source.name, folder, inspected.rank
    )


@pytest.fixture(scope="session")
def prompt_of(prompts: PromptBuilder) -> PromptOf:
    return lambda text: prompts.build(TextRequest(text, None, GREEDY))


@pytest.fixture(scope="session")
def asked(prompt_of: PromptOf) -> Sequence[Prompt]:
    """A prompt for every taught question."""
    return [prompt_of(question) for question, _ in questions()]


def taught() -> list[str]:
    """The answers to `asked`, as the model writes them: with the space that follows a prompt."""
    return [f" {answer}" for _, answer in questions()]


@pytest.fixture(scope="module")
def ask(engine: TransformersEngine) -> Ask:
    async def run(
        prompt: Prompt, sampling: Sampling = GREEDY, adapter: StoredAdapter | None = None
    ) -> Answer:
        return await ask_engine(engine, prompt, sampling, adapter)

    return run


async def ask_engine(
    engine: TransformersEngine, prompt: Prompt, sampling: Sampling, adapter: StoredAdapter | None = None
) -> Answer:
    if adapter is not None:
        async with engine.lease(adapter) as leased:
            return await _answer(engine, prompt, sampling, leased)
    return await _answer(engine, prompt, sampling, None)


async def _answer(engine: TransformersEngine, prompt: Prompt, sampling: Sampling, leased: object) -> Answer:
    stream = engine.generate(
        prompt,
        sampling,
        request_id="request",
        adapter=leased,  # type: ignore[arg-type]
        cache_salt="account",
    )
    try:
        deltas = [delta async for delta in stream]
    finally:
        await stream.aclose()
    token_ids = [token_id for delta in deltas for token_id in delta.token_ids]
    return Answer("".join(delta.text for delta in deltas), token_ids, deltas)
