"""LoRA adapters in the model, through peft: any number at once, one name for each row of a step."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, PeftModel, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file

from app.model_files.lora import WEIGHTS_FILE

BASE: Final = "__base__"
"""peft's name for a row without an adapter."""

ARGUMENT: Final = "adapter_names"
"""What peft's layers call the names of their rows."""


class Adapters:
    """Belongs to the thread that runs the model.

    peft's own `forward` would set a hook on each layer in each step, after looking at every module of every adapter
    three times, and leaves them there when a step fails. Here each layer has one hook, which reads the step's names.
    """

    def __init__(self, causal: Any) -> None:
        self._causal = causal
        self._peft: Any = None
        self._hooked: set[LoraLayer] = set()
        self._names: list[str] = []

    def add(self, name: str, config: LoraConfig, tensors: Mapping[str, torch.Tensor]) -> None:
        """`name` has no dot. Raises what peft raises; then no part of the adapter stays."""
        with ExitStack() as undo:
            undo.callback(self.remove, name)
            undo.callback(self._hook)
            self._inject(name, config)
            set_peft_model_state_dict(self._peft, dict(tensors), name, low_cpu_mem_usage=True)
            undo.pop_all()
        self._hook()

    def remove(self, name: str) -> None:
        """Nothing happens when there is none of that name."""
        if self._peft is not None and name in self._peft.peft_config:
            self._peft.delete_adapter(name)
        for layer in self._layers():  # where peft itself failed it knows nothing of it
            layer.delete_adapter(name)

    def name_rows(self, names: list[str]) -> None:
        """Which adapter each row of the next step has."""
        self._names = names

    def _inject(self, name: str, config: LoraConfig) -> None:
        """Layers without values, which are put in after."""
        if self._peft is None:
            self._peft = PeftModel(
                self._causal, config, name, low_cpu_mem_usage=True, autocast_adapter_dtype=False
            )
            self._peft.eval()
        else:
            self._peft.add_adapter(name, config, low_cpu_mem_usage=True, autocast_adapter_dtype=False)

    def _layers(self) -> list[LoraLayer]:
        return [module for module in self._causal.modules() if isinstance(module, LoraLayer)]

    def _hook(self) -> None:
        for layer in self._layers():
            layer.set_adapter([])  # none is for rows that name none, and none has to follow one that goes
            if layer not in self._hooked:
                self._hooked.add(layer)
                layer.register_forward_pre_hook(self._with_names, with_kwargs=True)

    def _with_names(
        self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, {**kwargs, ARGUMENT: self._names}


def read_adapter(folder: Path, dtype: torch.dtype, device: str) -> tuple[LoraConfig, dict[str, torch.Tensor]]:
    """The adapter in peft's terms, its tensors in the model's type. Touches no model: may run in any thread."""
    config = LoraConfig.from_pretrained(str(folder))
    config.inference_mode = True
    tensors = load_file(folder / WEIGHTS_FILE, device=device)
    return config, {name: tensor.to(dtype) for name, tensor in tensors.items()}
