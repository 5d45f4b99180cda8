"""app.engines.llamacpp.engine under supervision: llama.cpp's own loop answers the heartbeat; without that it is lost."""

import asyncio
import threading

import pytest

from app.engines.llamacpp.engine import LlamaCppEngine
from app.engines.llamacpp.plan import LlamaCppPlan
from app.engines.supervision import Supervision
from app.errors import EngineLost, InternalError
from app.inference.prompt import PromptBuilder
from tests.engines.llamacpp.asking import EXAMPLES, Asking

pytestmark = pytest.mark.anyio
QUESTION = "What is Outworker?"


async def test_a_busy_llama_cpp_answers_and_a_silent_one_is_lost(
    plan: LlamaCppPlan, prompts: PromptBuilder
) -> None:
    """The heartbeat's way is blocked here: llama.cpp's own threads can't be made to hang from outside."""
    lost: asyncio.Future[EngineLost] = asyncio.get_running_loop().create_future()
    supervision = Supervision(stall_s=0.1, step_s=3.0, lost=lost.set_result)
    engine = LlamaCppEngine(lambda: plan, lambda: EXAMPLES, wait_s=5, supervision=supervision)
    await engine.start()
    asking, go_on = Asking(engine, prompts), threading.Event()
    generation = engine._servers.current  # type: ignore[union-attr]
    try:
        for _ in range(3):
            assert await asking.text(QUESTION)
        for _ in range(20):
            await asyncio.wait_for(generation.beat(), 20)
        assert not lost.done()
        answers = [
            asyncio.create_task(asking.text(QUESTION, max_tokens=400, ignore_eos=True)) for _ in range(200)
        ]
        generation._asking.submit(go_on.wait)
        assert "llama.cpp has been in one step for 3 s" in str(await asyncio.wait_for(lost, 20))
        ended = await asyncio.gather(*answers, return_exceptions=True)
        assert {type(each) for each in ended} <= {str, InternalError}
        assert InternalError in {type(each) for each in ended}
        assert engine.health().state == "failed"
        await asyncio.wait_for(engine.stop(30), 20)  # does not wait for llama.cpp
    finally:
        go_on.set()
        await generation.close()
