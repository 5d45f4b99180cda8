"""What the tensors of an adapter are called: peft's names, and those that differ from them mechanically.

A name says which layer and module it is for, which of the two sides, and no more. What stands before the layers (how the
model was wrapped when it was saved) and the adapter's own name in it change nothing and are taken off.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from app.adapters.inspection.base_model import ATTENTION_MODULES, MLP_MODULES, TARGET_MODULES
from app.adapters.inspection.findings import finding
from app.model_files.lora import WEIGHTS_FILE

WRAPPERS: Final = frozenset(
    {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "module"}
)
"""Of torch.compile, FSDP, activation checkpointing, DeepSpeed and DDP: they stand anywhere."""

PREFIX: Final = re.compile(r"(?:(?:base_model|model|language_model|text_model)\.)*")
"""How peft, transformers and others call the model around its layers, in any number."""

NAME: Final = re.compile(
    r"(?P<prefix>(?:[A-Za-z0-9_-]+\.)*?)layers\.(?P<layer>0|[1-9][0-9]{0,3})\."
    rf"(?P<module>self_attn\.(?:{'|'.join(ATTENTION_MODULES)})|mlp\.(?:{'|'.join(MLP_MODULES)}))"
    r"\.lora_(?P<side>[AB])(?:(?:\.(?P<adapter>[A-Za-z0-9_-]+))?\.weight)?"
)
EXPECTED: Final = "base_model.model.model.layers.N.self_attn.q_proj.lora_A.weight"


@dataclass(frozen=True, slots=True)
class TensorName:
    """`module` is the module's name in the base, `side` is A or B; `adapter` is empty where the name has none."""

    module: str
    layer: int
    side: str
    adapter: str


def read_name(name: str) -> TensorName | None:
    """None for what is not a lora_A or lora_B weight of a module that can have one."""
    bare = ".".join(part for part in name.split(".") if part not in WRAPPERS)
    match = NAME.fullmatch(bare)
    if match is None or PREFIX.fullmatch(match["prefix"]) is None:
        return None
    module = f"model.layers.{match['layer']}.{match['module']}"
    return TensorName(module, int(match["layer"]), match["side"], match["adapter"] or "")


def adapters_fault(names: Iterable[TensorName]) -> list[str]:
    """A finding where a file holds more than one adapter."""
    adapters = sorted({name.adapter for name in names})
    if len(adapters) < 2:
        return []
    held = ", ".join(adapter or "one without a name" for adapter in adapters)
    change = "save one of them: save_pretrained(folder, selected_adapters=[name])"
    return [finding(WEIGHTS_FILE, f"holds several adapters ({held})", change)]


ADVICE: Final[tuple[tuple[re.Pattern[str], str, str], ...]] = tuple(
    (re.compile(pattern), found, change)
    for pattern, found, change in (
        (
            r".*lora_magnitude_vector.*|.*\.dora_scale",
            "is the magnitude of a DoRA",
            "train with use_dora=False",
        ),
        (
            r".*\.lora_embedding_[AB].*|(.*\.)?(embed_tokens|lm_head|output|tok_embeddings)\b.*",
            "is for the embeddings or the output layer, which can't be changed here",
            "train without embed_tokens and lm_head in target_modules and modules_to_save "
            "(mergekit-extract-lora: exclude them)",
        ),
        (r".*\.modules_to_save\..*", "is a whole trained module", "train without modules_to_save"),
        (r".*\.bias", "is a bias", "train with bias='none' and lora_bias=False"),
        (
            r".*\.lora_[ab]",
            "is mlx-lm's name, and its values are stored transposed",
            "convert it: transpose both tensors, name them as peft does (expected "
            f"{EXPECTED}), and write r = rank and lora_alpha = rank * scale",
        ),
        (
            r".*\.lora_[ab]\.weight",
            "is torchtune's own name",
            "let torchtune's FullModelHFCheckpointer save the adapter, which writes peft's names and order "
            f"(expected {EXPECTED})",
        ),
        (
            r".*\.(attention\.w[qkvo]|attn\.\w+|feed_forward\.w[123]|mlp\.w[123])\..*",
            "is a name of another implementation of the model, whose q and k are in another order",
            f"convert the adapter to that of transformers (expected {EXPECTED})",
        ),
        (
            r".*\.(qkv_proj|gate_up_proj|query_key_value|W_?qkv|Wqkv|c_attn)\..*",
            "is for modules fused into one, which this base has apart",
            "train on the base as transformers has it, with target_modules out of "
            f"{', '.join(TARGET_MODULES)}",
        ),
        (
            r".*\.(lora_up|lora_down|down|up|alpha|hada_w.*|lokr_w.*)(\.weight)?",
            "is not one of peft's names",
            f"convert the adapter to peft: lora_down is lora_A, lora_up is lora_B (expected {EXPECTED})",
        ),
        (
            r".*\.lora_[AB]\..*|.*\.lora_[AB]",
            "is not a lora_A or lora_B weight of a module that can have one",
            f"rename it where only the name differs (expected {EXPECTED}, with or without what stands "
            f"before the layers), or train with target_modules out of {', '.join(TARGET_MODULES)}",
        ),
        (
            r".*(norm|base_layer|_proj)\.weight",
            "is a weight of the base and no lora_A or lora_B weight",
            "save the adapter alone: save_pretrained of the PeftModel, not of the model in it",
        ),
    )
)


def unknown_name(name: str) -> str:
    """The finding about a tensor that `read_name` does not know: what was found, what is expected, what to do."""
    for pattern, found, change in ADVICE:
        if pattern.fullmatch(name) is not None:
            return finding(name, found, change)
    change = f"expected names such as {EXPECTED}: rename it, or leave it out of the file"
    return finding(name, "is not a lora_A or lora_B weight of a module that can have one", change)
