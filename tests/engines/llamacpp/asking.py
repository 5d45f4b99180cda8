"""Questions to an engine of llama.cpp."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.engines.engine import LeasedAdapter
from app.engines.llamacpp.engine import LlamaCppEngine
from app.inference.prompt import PromptBuilder
from app.settings import CHECKOUT
from app.types import Delta, Prompt, Sampling, StoredAdapter, TextRequest

CONTEXT = 512
ANSWER_TOKENS = 110
GREEDY = Sampling(max_tokens=ANSWER_TOKENS, temperature=0.0)


def example(name: str, account: str = "local") -> StoredAdapter:
    folder = CHECKOUT / "adapters" / name
    digest = f"{name:_<64}"
    return StoredAdapter(f"id-{name}", account, name, "model", "stand-in", digest, folder, 16)


EXAMPLES = frozenset(example(name).digest for name in ("pirate", "json"))
"""The adapters that are stored."""


@dataclass
class Asking:
    """Questions to an engine, one after the other."""

    engine: LlamaCppEngine
    prompts: PromptBuilder

    def prompt(self, question: str) -> Prompt:
        return self.prompts.build(TextRequest(prompt=question, messages=None, sampling=GREEDY))

    def stream(
        self, question: str | Prompt, sampling: Sampling = GREEDY, adapter: LeasedAdapter | None = None
    ) -> Any:
        prompt = self.prompt(question) if isinstance(question, str) else question
        return self.engine.generate(prompt, sampling, request_id="r", adapter=adapter, cache_salt="account")

    async def deltas(
        self, question: str | Prompt, adapter: LeasedAdapter | None = None, **sampling: Any
    ) -> list[Delta]:
        stream = self.stream(question, replace(GREEDY, **sampling), adapter)
        return [delta async for delta in stream]

    async def text(
        self, question: str | Prompt, adapter: LeasedAdapter | None = None, **sampling: Any
    ) -> str:
        return text_of(await self.deltas(question, adapter, **sampling))


async def until(condition: Callable[[], bool]) -> None:
    """Raises TimeoutError where it never comes true."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def text_of(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def ids_of(deltas: Sequence[Delta]) -> list[int]:
    return [token for delta in deltas for token in delta.token_ids]
