"""vLLM's executor for one worker in the core's own process, without a network. Imported by vLLM, by name.

torch's process groups connect their members over gloo, whose every group listens on a TCP port as soon as it is made,
also where the only member is its maker. Whoever can reach such a port can take the core's file descriptors. torch's
"fake" groups compute with nobody and open nothing, which is right in a group of one and only there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed
import torch.testing._internal.distributed.fake_pg  # registers the backend

from app.engines.vllm.compat import UniProcExecutor

NETWORK, NOBODY = "gloo", "fake"


class OneProcessExecutor(UniProcExecutor):  # type: ignore[misc]  # mypy does not follow vllm
    """Differs in nothing else."""

    def _init_executor(self) -> None:
        with no_ports(self.vllm_config.parallel_config.world_size_across_dp):
            super()._init_executor()
        self._store.unlink(missing_ok=True)  # all of a world of one have met

    def _distributed_args(self) -> tuple[str, int, int]:
        method, rank, local_rank = super()._distributed_args()
        self._store = Path(method.removeprefix("file://"))
        return method, rank, local_rank


@contextmanager
def no_ports(members: int) -> Iterator[None]:
    """Groups that torch makes in the block have no network where the world has one member. vLLM makes all of its groups
    while a worker starts.
    """
    if members != 1:
        yield
        return
    distributed: Any = torch.distributed
    init, new = distributed.init_process_group, distributed.new_group
    distributed.init_process_group, distributed.new_group = _alone(init), _alone(new)
    try:
        yield
    finally:
        distributed.init_process_group, distributed.new_group = init, new


def _alone(make: Callable[..., Any]) -> Callable[..., Any]:
    """`make` with the backend's name changed; vLLM gives it by name."""

    def made(*args: Any, backend: str | None = None, **named: Any) -> Any:
        return make(*args, backend=NOBODY if backend == NETWORK else backend, **named)

    return made
