"""Adapters as other programs write them: their keys and their tensors' names, made here from what they publish.

Each is `good()` in another dress. `served` is false where the program's own form can't be served; then `says` is a part
of what its user hears.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.adapters.make import RANK, TINY, Adapter, good

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

# What peft 0.11 and 0.21 write of a LoraConfig, all at their defaults.
PEFT_11: Mapping[str, Any] = {
    "alpha_pattern": {},
    "auto_mapping": None,
    "base_model_name_or_path": "mistralai/Mistral-7B-Instruct-v0.2",
    "bias": "none",
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "layer_replication": None,
    "layers_pattern": None,
    "layers_to_transform": None,
    "loftq_config": {},
    "lora_alpha": 8,
    "lora_dropout": 0.05,
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "modules_to_save": None,
    "peft_type": "LORA",
    "r": RANK,
    "rank_pattern": {},
    "revision": None,
    "target_modules": list(MODULES),
    "task_type": "CAUSAL_LM",
    "use_dora": False,
    "use_rslora": False,
}
PEFT_21: Mapping[str, Any] = {
    **PEFT_11,
    "alora_invocation_tokens": None,
    "arrow_config": None,
    "corda_config": None,
    "ensure_weight_tying": False,
    "eva_config": None,
    "exclude_modules": None,
    "kasa_config": None,
    "lora_bias": False,
    "lora_ga_config": None,
    "monteclora_config": None,
    "peft_version": "0.21.2",
    "qalora_group_size": 16,
    "target_parameters": None,
    "trainable_token_indices": None,
    "use_bdlora": None,
    "use_qalora": False,
    "velora_config": None,
}
MISTRAL = {
    "base_model_class": "MistralForCausalLM",
    "parent_library": "transformers.models.mistral.modeling_mistral",
}
UNSLOTH_TARGETS = (
    r"(?:.*?(?:language|text).*?(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense).*?"
    r"(?:k_proj|v_proj|q_proj|o_proj|gate_proj|up_proj|down_proj).*?)|"
    r"(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense)\."
    r"(?:(?:k_proj|v_proj|q_proj|o_proj|gate_proj|up_proj|down_proj)))"
)
EVA_CONFIG = {
    "adjust_scaling_factors": True,
    "label_mask_value": -100,
    "rho": 2.0,
    "tau": 0.99,
    "use_label_mask": True,
    "whiten": False,
}
TORCHTUNE = {"q_proj": "attn.q_proj", "k_proj": "attn.k_proj", "v_proj": "attn.v_proj"} | {
    "o_proj": "attn.output_proj",
    "gate_proj": "mlp.w1",
    "down_proj": "mlp.w2",
    "up_proj": "mlp.w3",
}


@dataclass(frozen=True)
class Written:
    """`notes` are the keys or words that a note must name."""

    adapter: Adapter
    served: bool = True
    says: str = ""
    notes: tuple[str, ...] = ()


def written(config: Mapping[str, Any], *, without: tuple[str, ...] = (), **more: Any) -> Adapter:
    adapter = good(MODULES)
    adapter.config = {key: value for key, value in (dict(config) | more).items() if key not in without}
    return adapter


def renamed(adapter: Adapter, change: Callable[[str], str]) -> Adapter:
    adapter.tensors = {change(name): values for name, values in adapter.tensors.items()}
    return adapter


def _eva() -> Adapter:
    """Ranks as EVA deals them out, alphas adjusted with them, by the modules' whole names."""
    modules = [
        f"model.layers.{layer}.{'mlp' if name in MODULES[4:] else 'self_attn'}.{name}"
        for layer in range(TINY.num_hidden_layers)
        for name in MODULES
    ]
    adapter = written(PEFT_21, init_lora_weights="eva", eva_config=EVA_CONFIG)
    ranks = {name: 1 + number % RANK for number, name in enumerate(modules)}
    adapter.config |= {"rank_pattern": ranks, "alpha_pattern": {name: 2 * ranks[name] for name in modules}}
    for name, values in adapter.tensors.items():
        rank = ranks[name.removeprefix("base_model.model.").partition(".lora_")[0]]
        adapter.tensors[name] = values[:rank] if ".lora_A." in name else values[:, :rank]
    return adapter


def _mergekit() -> Adapter:
    """Each module's rank and an alpha like it, by whole names; modules_to_save is a list that may be empty."""
    adapter = written(PEFT_11, without=("use_dora", "layer_replication"), lora_alpha=RANK, lora_dropout=0)
    names = {name.removeprefix("base_model.model.").partition(".lora_")[0] for name in adapter.tensors}
    adapter.config |= {
        "rank_pattern": dict.fromkeys(sorted(names), RANK),
        "alpha_pattern": dict.fromkeys(sorted(names), RANK),
        "modules_to_save": [],
    }
    return adapter


def _with(adapter: Adapter, name: str, like: str) -> Adapter:
    adapter.tensors[name] = adapter.tensors[like]
    return adapter


def _mlx_name(name: str) -> str:
    side = "a" if ".lora_A." in name else "b"
    return name.removeprefix("base_model.model.").partition(".lora_")[0] + f".lora_{side}"


def _torchtune_name(name: str) -> str:
    parts = name.removeprefix("base_model.model.model.").split(".")
    side = parts[4].removeprefix("lora_").lower()
    return f"layers.{parts[1]}.{TORCHTUNE[parts[3]]}.lora_{side}.weight"


FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
MLX = {"fine_tune_type": "lora", "num_layers": 16, "lora_parameters": {"rank": RANK, "scale": 2.0}}

TRAINERS: dict[str, Callable[[], Written]] = {
    "peft 0.11": lambda: Written(written(PEFT_11)),
    "peft 0.21": lambda: Written(written(PEFT_21)),
    "peft without a task type": lambda: Written(
        written(PEFT_21, task_type=None, auto_mapping=MISTRAL), notes=("auto_mapping",)
    ),
    "peft, rsLoRA": lambda: Written(written(PEFT_21, use_rslora=True)),
    "peft, EVA": lambda: Written(_eva(), notes=("eva_config",)),
    "peft, all-linear": lambda: Written(
        written(PEFT_21, target_modules="all-linear"), notes=("target_modules",)
    ),
    "peft, an expression": lambda: Written(
        written(PEFT_21, target_modules=r".*\.(self_attn|mlp)\.\w+_proj"), notes=("target_modules",)
    ),
    "peft, for the model without its head": lambda: Written(
        renamed(written(PEFT_21), lambda name: name.replace("model.model.model.", "model.model.")),
        notes=("renamed",),
    ),
    "peft, its state_dict": lambda: Written(
        renamed(written(PEFT_21), lambda name: name.replace(".weight", ".default.weight")),
        notes=("renamed",),
    ),
    "peft, another adapter's name": lambda: Written(
        renamed(written(PEFT_21), lambda name: name.replace(".weight", ".my-adapter_2.weight")),
        notes=("renamed",),
    ),
    "peft, converted from PiSSA": lambda: Written(written(PEFT_21, lora_alpha=16)),
    "peft, DoRA": lambda: Written(
        _with(
            written(PEFT_21, use_dora=True), FIRST.replace("lora_A.weight", "lora_magnitude_vector"), FIRST
        ),
        served=False,
        says="DoRA computes with more than A and B; train with use_dora=False",
    ),
    "unsloth": lambda: Written(
        written(PEFT_21, auto_mapping=MISTRAL | {"unsloth_fixed": True}, lora_dropout=0),
        notes=("auto_mapping",),
    ),
    "unsloth, its expression": lambda: Written(
        written(
            PEFT_21,
            auto_mapping=MISTRAL | {"unsloth_fixed": True},
            target_modules=UNSLOTH_TARGETS,
            task_type=None,
            base_model_name_or_path="unsloth/mistral-7b-instruct-v0.2-bnb-4bit",
        ),
        notes=("auto_mapping", "target_modules"),
    ),
    "unsloth, embeddings too": lambda: Written(
        _with(
            written(PEFT_21, modules_to_save=["embed_tokens", "lm_head"]),
            "base_model.model.lm_head.weight",
            FIRST,
        ),
        served=False,
        says="train without modules_to_save (no embed_tokens, no lm_head)",
    ),
    "axolotl": lambda: Written(
        written(PEFT_11, base_model_name_or_path="mistralai/Mistral-7B-v0.1", inference_mode=False)
    ),
    "axolotl, compiled": lambda: Written(
        renamed(written(PEFT_21), lambda name: name.replace("base_model.", "_orig_mod.base_model.")),
        notes=("renamed",),
    ),
    "axolotl, FSDP with checkpointing": lambda: Written(
        renamed(
            written(PEFT_21),
            lambda name: (
                "_fsdp_wrapped_module."
                + name.replace(".self_attn.", "._checkpoint_wrapped_module.self_attn.").replace(
                    ".mlp.", "._checkpoint_wrapped_module.mlp."
                )
            ),
        ),
        notes=("renamed",),
    ),
    "LLaMA-Factory": lambda: Written(written(PEFT_11, lora_dropout=0.0, target_modules=sorted(MODULES))),
    "torchtune, in peft's form": lambda: Written(
        written(
            {
                "r": RANK,
                "lora_alpha": 8,
                "target_modules": list(MODULES),
                "peft_type": "LORA",
                "base_model_name_or_path": "mistralai/Mistral-7B-v0.1",
            }
        )
    ),
    "torchtune, its own form": lambda: Written(
        renamed(
            written({"r": RANK, "lora_alpha": 8, "target_modules": list(MODULES), "peft_type": "LORA"}),
            _torchtune_name,
        ),
        served=False,
        says="let torchtune's FullModelHFCheckpointer save the adapter",
    ),
    "mergekit-extract-lora": lambda: Written(_mergekit()),
    "mergekit-extract-lora, embeddings too": lambda: Written(
        _with(_mergekit(), "base_model.model.model.embed_tokens.lora_embedding_A", FIRST),
        served=False,
        says="(mergekit-extract-lora: exclude them)",
    ),
    "mlx-lm, converted": lambda: Written(
        written(
            MLX | {"peft_type": "LORA", "r": RANK, "lora_alpha": 8, "target_modules": list(MODULES)},
            task_type="CAUSAL_LM",
        ),
        notes=("fine_tune_type", "lora_parameters", "num_layers"),
    ),
    "mlx-lm, converted with its names": lambda: Written(
        renamed(
            written({"peft_type": "LORA", "r": RANK, "lora_alpha": 8, "target_modules": list(MODULES)}),
            lambda name: name.removeprefix("base_model.model."),
        ),
        notes=("renamed",),
    ),
    "mlx-lm, its own form": lambda: Written(
        renamed(written(MLX), _mlx_name),
        served=False,
        says="r = rank, lora_alpha = rank * scale, both tensors transposed",
    ),
    "mlx-lm, its names alone": lambda: Written(
        renamed(written(PEFT_11), _mlx_name), served=False, says="transpose both tensors"
    ),
    "somebody with remarks": lambda: Written(
        written(
            PEFT_11,
            _comment="do not touch",
            trained_by="me",
            epochs=3,
            learning_rate=2e-4,
            dataset={"name": "x", "rows": 5},
            training_config={"optimizer": "adamw"},
            license="MIT",
        ),
        notes=("_comment", "trained_by", "epochs", "learning_rate", "dataset", "training_config", "license"),
    ),
}
