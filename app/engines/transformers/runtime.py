"""What runs once the engine has started. Imports torch and transformers, which takes seconds: only `engine` imports
this, in a thread.
"""

import asyncio

from app.engines.checkpoint import read_config
from app.engines.delta_stream import DeltaStream
from app.engines.transformers.lora import BASE, read_adapter
from app.engines.transformers.model import load
from app.engines.transformers.plan import TransformersPlan
from app.engines.transformers.scheduler import Deliver, Scheduler
from app.engines.transformers.sequence import RunningSequence
from app.engines.transformers.vocabulary import Vocabulary
from app.errors import EngineLost
from app.logs import log_startup
from app.types import Prompt, Sampling, StoredAdapter


class Runtime:
    """The model, its vocabulary and the thread that computes, already running."""

    def __init__(self, plan: TransformersPlan, deliver: Deliver) -> None:
        """Takes seconds to minutes. Raises StartupError, and what torch and transformers raise."""
        log_startup("transformers imported")
        self.plan = plan
        self._vocabulary = Vocabulary(plan.folder, read_config(plan.folder))
        self.model = load(plan)
        log_startup("weights loaded")
        self.scheduler = Scheduler(
            self.model,
            deliver,
            max_rows=plan.max_rows,
            kv_tokens=plan.kv_tokens,
            step_tokens=plan.step_tokens,
            threads=plan.threads,
        )
        self.scheduler.start()

    def row(
        self, stream: DeltaStream, prompt: Prompt, sampling: Sampling, *, request_id: str, adapter: int | None
    ) -> RunningSequence:
        """A request for the scheduler; `adapter` is the number of a loaded one. A grammar may take seconds to compile.
        Raises JsonModeUnmet.
        """
        grammar = sampling.grammar
        return RunningSequence(
            stream,
            prompt,
            sampling,
            self._vocabulary,
            request_id=request_id,
            adapter=BASE if adapter is None else _name(adapter),
            constraint=None if grammar is None else self._vocabulary.grammars.constraint(grammar),
            max_model_len=self.plan.max_model_len,
        )

    async def beat(self) -> None:
        """Returns when the thread that computes has answered between two steps. Raises EngineLost when it has ended, and
        InternalError when it is about to.
        """
        if not self.scheduler.alive:
            raise EngineLost("has lost the thread that computes")
        await asyncio.wrap_future(self.scheduler.between_steps(lambda: None))

    def load_adapter(self, stored: StoredAdapter, int_id: int) -> None:
        """Reads here and waits until it is in the model. Raises what safetensors and peft raise, and InternalError when
        the scheduler ends.
        """
        config, tensors = read_adapter(stored.folder, self.model.dtype, self.model.device)
        adapters, name = self.model.adapters, _name(int_id)
        self.scheduler.between_steps(lambda: adapters.add(name, config, tensors)).result()

    def unload_adapter(self, int_id: int) -> None:
        """Raises InternalError when the scheduler ends."""
        self.scheduler.between_steps(lambda: self.model.adapters.remove(_name(int_id))).result()


def _name(int_id: int) -> str:
    """No two adapters share it, and peft takes no dots in it."""
    return f"adapter_{int_id}"
