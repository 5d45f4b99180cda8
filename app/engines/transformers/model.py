"""A weights folder as a model in memory, and its steps: tokens of several requests in, logits out.

It is loaded as it is, quantized while it is read, or unpacked from GPTQ or AWQ.
"""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Final

import torch
from safetensors.torch import load_file
from transformers import BitsAndBytesConfig, MistralConfig, MistralForCausalLM
from transformers.utils import logging as transformers_logging

from app.engines.checkpoint import weight_files
from app.engines.transformers import attention
from app.engines.transformers.attention import KvCache, Segment
from app.engines.transformers.dequantize import unpack
from app.engines.transformers.lora import Adapters
from app.engines.transformers.plan import TransformersPlan
from app.errors import StartupError

BITSANDBYTES: Final = "bitsandbytes"


class StepModel:
    """A MistralForCausalLM whose attention is `app.engines.transformers.attention`. One thread uses it."""

    def __init__(self, causal: Any, *, dtype: torch.dtype, device: str) -> None:
        self._backbone = causal.model
        self._head = causal.lm_head
        self._config = causal.config
        self.dtype = dtype
        self.device = device
        self.adapters = Adapters(causal)

    def cache(self, capacity: int) -> KvCache:
        """For a request of at most `capacity` tokens. A GPU gives all of that memory at once, a CPU what is written."""
        config = self._config
        return KvCache(
            config.num_hidden_layers,
            config.num_key_value_heads,
            capacity,
            config.head_dim,
            dtype=self.dtype,
            device=self.device,
        )

    def logits(
        self, segments: Sequence[Segment], token_ids: Sequence[int], names: list[str], wanted: Sequence[int]
    ) -> torch.Tensor:
        """Compute `token_ids`, which `segments` cover in order, each with the adapter in `names`.

        Gives [len(wanted), vocabulary] in float32: what follows the tokens at the rows `wanted`.
        """
        self.adapters.name_rows(names)
        positions = [segment.first + offset for segment in segments for offset in range(segment.count)]
        hidden = self._backbone(
            input_ids=self._column(token_ids),
            position_ids=self._column(positions),
            use_cache=False,
            segments=segments,
        ).last_hidden_state
        rows = torch.tensor(wanted, dtype=torch.int64, device=self.device)
        return self._head(hidden[rows, 0]).float()  # type: ignore[no-any-return]

    def _column(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.device)[:, None]


def load(plan: TransformersPlan) -> StepModel:
    """Takes seconds to minutes. Raises StartupError for what can be named, and what transformers raises."""
    attention.register()
    transformers_logging.disable_progress_bar()
    dtype = getattr(torch, plan.dtype)
    if plan.quantization in ("gptq", "awq"):
        causal = _unpacked(plan, dtype)
    else:
        causal = _read(plan, dtype, **_quantized(plan, dtype))
    causal.eval().requires_grad_(False)
    return StepModel(causal, dtype=dtype, device=plan.device)


def _read(plan: TransformersPlan, dtype: torch.dtype, **options: Any) -> Any:
    return MistralForCausalLM.from_pretrained(
        plan.folder,
        dtype=dtype,
        attn_implementation=attention.NAME,
        device_map={"": plan.device},
        local_files_only=True,
        use_safetensors=True,
        **options,
    )


def _quantized(plan: TransformersPlan, dtype: torch.dtype) -> dict[str, Any]:
    if plan.quantization == "none":
        return {}
    if find_spec(BITSANDBYTES) is None:
        raise StartupError(
            f'quantization "{plan.quantization}" needs the package {BITSANDBYTES}: install it, or take the engine '
            "llamacpp with a GGUF file of that size"
        )
    logging.getLogger(BITSANDBYTES).setLevel(logging.ERROR)  # it says in every product that it casts
    if plan.quantization == "8-bit":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    four = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": four}


def _unpacked(plan: TransformersPlan, dtype: torch.dtype) -> Any:
    """Without the checkpoint's quantization_config the model is an ordinary one."""
    config = MistralConfig.from_pretrained(plan.folder, local_files_only=True)
    packing = config.quantization_config
    del config.quantization_config
    packed: dict[str, torch.Tensor] = {}
    for file in weight_files(plan.folder):
        packed |= load_file(file)
    state = unpack(packed, packing, dtype)
    return MistralForCausalLM.from_pretrained(
        None, config=config, state_dict=state, dtype=dtype, attn_implementation=attention.NAME
    ).to(plan.device)
