"""What a GGUF file must be to be served: a Mistral 7B v0.2 in its shape or another, with exactly its vocabulary."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from app.engines.llamacpp.gguf.header import GgufHeader, broken, read_header
from app.types import MAX_LORA_RANK

ARCHITECTURE: Final = "llama"
"""What llama.cpp calls Mistral's: the same computation."""
VOCAB_SIZE: Final = 32_000
CONTROL: Final = {"unknown": (0, "<unk>"), "bos": (1, "<s>"), "eos": (2, "</s>")}
BYTE_0: Final = 3
"""The token of byte 0; the others follow it."""
FIRST_PIECE: Final = BYTE_0 + 256
SPACE: Final = "\N{LOWER ONE EIGHTH BLOCK}"
"""What a piece has in place of a space."""
VOCAB_SHA256: Final = "9667493c598ed599f14df3157cb9a6f373d49a1b2d99d98c79e937ff490d219b"
"""Of the pieces with line ends between them: Llama 2 has as many, and the same first ones."""
MAX_LAYERS: Final = 1024


@dataclass(frozen=True, slots=True)
class GgufModel:
    """Sizes in elements. `pieces` are the vocabulary in sentencepiece's form, `size` the file's tensors in bytes."""

    path: Path
    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_heads: int
    head_dim: int
    context: int
    rope_theta: float
    norm_epsilon: float
    size: int

    @property
    def adapter_bytes(self) -> int:
        """The largest adapter there may be, in F32: rank `MAX_LORA_RANK` on all seven modules."""
        queries, keys = self.heads * self.head_dim, self.key_heads * self.head_dim
        attention = 4 * self.hidden + 2 * queries + 2 * keys
        return 4 * self.layers * MAX_LORA_RANK * (attention + 3 * (self.hidden + self.intermediate))

    @property
    def cache_bytes_per_token(self) -> int:
        """Keys and values of one token in F16."""
        return 2 * 2 * self.layers * self.key_heads * self.head_dim


def read_model(path: Path) -> GgufModel:
    """Raises StartupError in one line when llama.cpp could not serve the file as Mistral 7B Instruct v0.2."""
    header = read_header(path)
    try:
        model = _model(path, header)
        _check_vocabulary(header.metadata, model.pieces)
        _check_tensors(header, model)
    except ValueError as error:
        raise broken(path, str(error)) from None
    return model


def _model(path: Path, header: GgufHeader) -> GgufModel:
    metadata = header.metadata
    architecture = metadata.get("general.architecture")
    if architecture != ARCHITECTURE:
        raise ValueError(f'general.architecture must be "{ARCHITECTURE}", found {str(architecture)[:40]!r}')
    if metadata.get("llama.expert_count"):
        raise ValueError("it is a mixture of experts, which is not served")
    hidden, heads = _count(metadata, "llama.embedding_length"), _count(metadata, "llama.attention.head_count")
    return GgufModel(
        path=path,
        pieces=_texts(metadata, "tokenizer.ggml.tokens"),
        scores=tuple(metadata.get("tokenizer.ggml.scores", ())),
        hidden=hidden,
        intermediate=_count(metadata, "llama.feed_forward_length"),
        layers=_count(metadata, "llama.block_count", MAX_LAYERS),
        heads=heads,
        key_heads=_count(metadata, "llama.attention.head_count_kv", heads, heads),
        head_dim=_count(metadata, "llama.attention.key_length", hidden, hidden // heads),
        context=_count(metadata, "llama.context_length"),
        rope_theta=_number(metadata, "llama.rope.freq_base", 10_000.0),
        norm_epsilon=_number(metadata, "llama.attention.layer_norm_rms_epsilon"),
        size=sum(tensor.size for tensor in header.tensors.values()),
    )


def _check_vocabulary(metadata: dict[str, Any], pieces: tuple[str, ...]) -> None:
    kind = metadata.get("tokenizer.ggml.model")
    if kind != "llama":
        raise ValueError(f'tokenizer.ggml.model must be "llama", found {str(kind)[:40]!r}')
    if len(pieces) != VOCAB_SIZE:
        raise ValueError(
            f"its vocabulary has {len(pieces)} tokens, Mistral 7B Instruct v0.2 has {VOCAB_SIZE}"
        )
    wanted = dict(CONTROL.values()) | {BYTE_0 + byte: f"<0x{byte:02X}>" for byte in range(256)}
    for token, piece in wanted.items():
        if pieces[token] != piece:
            raise ValueError(
                f"its token {token} is {pieces[token][:40]!r}, in Mistral's vocabulary {piece!r}"
            )
    if sha256("\n".join(pieces).encode()).hexdigest() != VOCAB_SHA256:
        raise ValueError("its tokens are not those of Mistral 7B Instruct v0.2")
    for name, (token, _) in CONTROL.items():
        found = metadata.get(f"tokenizer.ggml.{name}_token_id", token)
        if found != token:
            raise ValueError(f"its {name} token is {found}, in Mistral's vocabulary {token}")
    for key in ("scores", "token_type"):
        values = metadata.get(f"tokenizer.ggml.{key}", ())
        if len(values) != VOCAB_SIZE:
            raise ValueError(f"its tokenizer.ggml.{key} has {len(values)} items, {VOCAB_SIZE} are wanted")


def _check_tensors(header: GgufHeader, model: GgufModel) -> None:
    """All are there and of the right shape: llama.cpp would end the process, or compute nonsense."""
    for name, shape in _shapes(model).items():
        tensor = header.tensors.get(name)
        if tensor is None:
            raise ValueError(f"its tensor {name} is missing")
        if tensor.shape != shape:
            raise ValueError(f"its tensor {name} has the shape {list(tensor.shape)}, {list(shape)} is wanted")


def _shapes(model: GgufModel) -> dict[str, tuple[int, ...]]:
    hidden, queries, keys = model.hidden, model.heads * model.head_dim, model.key_heads * model.head_dim
    layer: dict[str, tuple[int, ...]] = {
        "attn_norm": (hidden,),
        "attn_q": (hidden, queries),
        "attn_k": (hidden, keys),
        "attn_v": (hidden, keys),
        "attn_output": (queries, hidden),
        "ffn_norm": (hidden,),
        "ffn_gate": (hidden, model.intermediate),
        "ffn_up": (hidden, model.intermediate),
        "ffn_down": (model.intermediate, hidden),
    }
    every = {f"blk.{n}.{name}.weight": shape for n in range(model.layers) for name, shape in layer.items()}
    return {**every, "token_embd.weight": (hidden, VOCAB_SIZE), "output_norm.weight": (hidden,)}


def _count(metadata: dict[str, Any], key: str, limit: int = 1 << 24, default: int | None = None) -> int:
    value = metadata.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= limit:
        raise ValueError(f"{key} must be a whole number from 1 to {limit}, found {str(value)[:40]}")
    return value


def _number(metadata: dict[str, Any], key: str, default: float | None = None) -> float:
    value = metadata.get(key, default)
    if not isinstance(value, float) or not 0 < value < float("inf"):
        raise ValueError(f"{key} must be a number above 0, found {str(value)[:40]}")
    return value


def _texts(metadata: dict[str, Any], key: str) -> tuple[str, ...]:
    value = metadata.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{key} must be a list of texts")
    return tuple(value)
