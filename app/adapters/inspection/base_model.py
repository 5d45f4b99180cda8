"""The shape of the base model that adapters are checked against."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.adapters.inspection.strict_json import StrictJsonError, load_strict
from app.errors import StartupError

CONFIG_MAX_BYTES = 1_000_000
MODEL_TYPE = "mistral"
ATTENTION_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP_MODULES = ("gate_proj", "up_proj", "down_proj")
TARGET_MODULES = ATTENTION_MODULES + MLP_MODULES
MODEL_FILES = (".gguf", ".llamafile")
# The stand-in, a variant's id, or a repository: an owner and a name.
PUBLISHED_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")


@dataclass(frozen=True, slots=True)
class BaseShape:
    """Sizes from the base weights' config.json, in elements. `name` is what refusals call the base, or empty."""

    name: str
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    num_hidden_layers: int
    vocab_size: int
    model_type: str = MODEL_TYPE

    @property
    def label(self) -> str:
        """What a refusal calls it."""
        return f"this server's base {self.name}".rstrip()

    def module_shape(self, module: str) -> tuple[int, int]:
        """Input and output features of one of `TARGET_MODULES`."""
        queries = self.num_attention_heads * self.head_dim
        keys = self.num_key_value_heads * self.head_dim
        return {
            "q_proj": (self.hidden_size, queries),
            "k_proj": (self.hidden_size, keys),
            "v_proj": (self.hidden_size, keys),
            "o_proj": (queries, self.hidden_size),
            "gate_proj": (self.hidden_size, self.intermediate_size),
            "up_proj": (self.hidden_size, self.intermediate_size),
            "down_proj": (self.intermediate_size, self.hidden_size),
        }[module]


def base_name(weights: str) -> str:
    """What the setting `weights` may be called before clients: nothing where it is a folder or a file of the operator."""
    published = PUBLISHED_NAME.fullmatch(weights) is not None and not Path(weights).exists()
    return weights if published and not weights.lower().endswith(MODEL_FILES) else ""


def read_base(folder: Path, name: str | None = None) -> BaseShape:
    """The shape in `<folder>/config.json`; `name` defaults to the folder's. Raises `StartupError`."""
    config = _read_config(folder)
    model_type = config.get("model_type")
    if model_type != MODEL_TYPE:
        raise StartupError(
            f"{folder / 'config.json'}: model_type must be {MODEL_TYPE}; set weights to a Mistral"
        )
    heads = _size(folder, config, "num_attention_heads")
    hidden = _size(folder, config, "hidden_size")
    # null means one per attention head; absent would mean transformers' default of 8, so it must be there.
    key_heads = heads if "num_key_value_heads" in config else None
    return BaseShape(
        name=folder.name if name is None else name,
        hidden_size=hidden,
        intermediate_size=_size(folder, config, "intermediate_size"),
        num_attention_heads=heads,
        num_key_value_heads=_size(folder, config, "num_key_value_heads", default=key_heads),
        head_dim=_size(folder, config, "head_dim", default=hidden // heads),
        num_hidden_layers=_size(folder, config, "num_hidden_layers"),
        vocab_size=_size(folder, config, "vocab_size"),
    )


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_MAX_BYTES + 1)
    except OSError as error:
        raise StartupError(
            f"{path}: {error.strerror}; point the weights setting at a model folder"
        ) from error
    if len(data) > CONFIG_MAX_BYTES:
        raise StartupError(f"{path}: larger than {CONFIG_MAX_BYTES} bytes; this is not a model configuration")
    try:
        config = load_strict(data)
    except StrictJsonError as error:
        raise StartupError(f"{path}: not valid JSON ({error}); get the weights again") from error
    if not isinstance(config, dict):
        raise StartupError(f"{path}: must hold a JSON object; get the weights again")
    return config


def _size(folder: Path, config: dict[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None:
        value = default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise StartupError(
            f"{folder / 'config.json'}: {key} must be a whole number above 0; get the weights again"
        )
    return value
