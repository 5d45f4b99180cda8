"""Temperatures above 2, which vLLM's SamplingParams refuses: exact, through a logits processor.

Requests carry temperature 1 and the real one in `extra_args` (`app.engines.vllm.sampling_params`). vLLM has two
interfaces for processors, one per model runner, and refuses a class of the other;
`app.engines.vllm.args.hot_processor` names the right one.

- V1 (the runner on a CPU): processors that keep the argmax run after temperature and before top-k and top-p.
- V2 (the runner on CUDA): processors run after the penalties and before temperature.

Both divide the logits by the temperature; the 1 that vLLM divides by changes nothing. vLLM imports this
module by name in the engine's process; nothing here imports it, because it imports torch and vllm.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch

from app.engines.vllm.compat import (
    BatchUpdate,
    LogitsContext,
    LogitsProcRequestState,
    ProcessorV1,
    ProcessorV2,
    process_dict_updates,
)
from app.engines.vllm.sampling_params import HOT_TEMPERATURE_KEY

if TYPE_CHECKING:
    from app.engines.vllm.compat import SamplingParams, VllmConfig

UNCHANGED = 1.0


def hot_temperature(params: "SamplingParams") -> float | None:
    """The temperature to divide by, or None for a request that vLLM's own temperature serves."""
    temperature = (params.extra_args or {}).get(HOT_TEMPERATURE_KEY)
    return None if temperature is None else float(temperature)


class HighTemperatureProcessor(ProcessorV1):  # type: ignore[misc]  # mypy does not follow vllm
    """For the V1 model runner. Rows of the batch without a hot request are not touched."""

    def __init__(self, vllm_config: "VllmConfig", device: torch.device, is_pin_memory: bool) -> None:
        self._device = device
        self._temperatures: dict[int, float] = {}
        self._rows = torch.empty(0, dtype=torch.int64, device=device)
        self._divisors = torch.empty(0, 1, dtype=torch.float32, device=device)

    def is_argmax_invariant(self) -> bool:
        return True

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        if process_dict_updates(
            self._temperatures, batch_update, lambda params, _, __: hot_temperature(params)
        ):
            rows, temperatures = list(self._temperatures), list(self._temperatures.values())
            self._rows = torch.tensor(rows, dtype=torch.int64, device=self._device)
            self._divisors = torch.tensor(temperatures, dtype=torch.float32, device=self._device).unsqueeze(1)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """`logits`: [requests, vocabulary] float32, changed in place."""
        if self._temperatures:
            logits[self._rows] /= self._divisors
        return logits


class HighTemperatureProcessorV2(ProcessorV2):  # type: ignore[misc]
    """For the V2 model runner. State is kept per slot; one without a hot request divides by 1, exactly."""

    def __init__(self, vllm_config: "VllmConfig", req_states: LogitsProcRequestState) -> None:
        self._host = np.full(req_states.max_num_reqs, UNCHANGED, dtype=np.float32)
        self._divisors = torch.ones(req_states.max_num_reqs, dtype=torch.float32, device=req_states.device)
        self._changed = False

    def add_request(self, req_idx: int, sampling_params: "SamplingParams") -> bool:
        temperature = hot_temperature(sampling_params)
        divisor = UNCHANGED if temperature is None else temperature
        self._changed |= bool(self._host[req_idx] != divisor)
        self._host[req_idx] = divisor
        return temperature is not None

    def apply_staged_writes(self) -> None:
        if self._changed:
            self._divisors.copy_(torch.from_numpy(self._host))
            self._changed = False

    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor:
        """`logits`: [rows, vocabulary] float32, changed in place."""
        if np.any(self._host[ctx.idx_mapping_np] != UNCHANGED):
            logits.div_(self._divisors[ctx.expanded_idx_mapping].unsqueeze(1))
        return logits
