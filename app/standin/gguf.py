"""The stand-in as a GGUF file for llama.cpp, written with numpy and the `gguf` package, within a second.

Numbers are F16, as other people's GGUF files of a bfloat16 model are. That keeps each weight but those below 2**-14,
which lose bits past 2**-24: a hundred of ten million, none by more than `MAX_ERROR`.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor

from app.engines.llamacpp.gguf.tensor_names import MODULES, interleaved
from app.files import folder_lock, private_folder, whole_folder
from app.standin import compact
from app.standin.shape import BOS_ID, CONFIG, EOS_ID, UNK_ID, VOCAB_SIZE
from app.standin.tokenizer import CHAT_TEMPLATE, tokenizer_model_path

FOLDER_NAME: Final = "standin-gguf"
FILE_NAME: Final = "standin-F16.gguf"
SEAL_FILE: Final = "written.json"
GGUF_VERSION: Final = 1
"""Raise it when what `write_gguf` writes changes, so that files of older versions are made again."""

MAX_ERROR: Final = 2.0**-25
"""Of a weight in F16 against the same in bfloat16."""

NORMS: Final = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
"""What GGUF calls a layer's norms."""


def ensure_gguf(data_dir: Path) -> Path:
    """The file `data_dir/standin-gguf/standin-F16.gguf`, made now unless it is there, whole, and of this version.

    Raises OSError when it can't be written. Servers that start at once write it one after the other.
    """
    folder = data_dir / FOLDER_NAME
    if not _is_whole(folder):
        with folder_lock(private_folder(data_dir)):
            if not _is_whole(folder):
                _write_folder(folder)
    return folder / FILE_NAME


def write_gguf(path: Path, kind: str = "F16", counts: Mapping[str, int] = MappingProxyType({})) -> None:
    """`kind` is a type that the `gguf` package can write: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1.

    Norms are F32 in every kind, as llama.cpp wants them. `counts` are metadata beside the usual.
    """
    import gguf  # noqa: PLC0415  a second of import, for a file that is nearly always there

    writer = gguf.GGUFWriter(path, "llama")
    _add_shape(writer)
    _add_vocabulary(writer)
    for key, count in counts.items():
        writer.add_uint16(key, count)
    for name, values in _tensors().items():
        one_row = values.ndim == 1
        number = gguf.GGMLQuantizationType.F32 if one_row else gguf.GGMLQuantizationType[kind]
        writer.add_tensor(name, gguf.quantize(values, number), raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_shape(writer: Any) -> None:
    shape: dict[str, Any] = CONFIG
    writer.add_name("Outworker stand-in")
    writer.add_context_length(shape["max_position_embeddings"])
    writer.add_embedding_length(shape["hidden_size"])
    writer.add_block_count(shape["num_hidden_layers"])
    writer.add_feed_forward_length(shape["intermediate_size"])
    writer.add_head_count(shape["num_attention_heads"])
    writer.add_head_count_kv(shape["num_key_value_heads"])
    writer.add_key_length(shape["head_dim"])
    writer.add_value_length(shape["head_dim"])
    writer.add_rope_dimension_count(shape["head_dim"])
    writer.add_rope_freq_base(shape["rope_theta"])
    writer.add_layer_norm_rms_eps(shape["rms_norm_eps"])
    writer.add_vocab_size(VOCAB_SIZE)


def _add_vocabulary(writer: Any) -> None:
    """Pieces, scores and types as they are in the sentencepiece file."""
    processor = SentencePieceProcessor(model_file=str(tokenizer_model_path()))
    tokens = range(processor.get_piece_size())
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([processor.id_to_piece(token) for token in tokens])
    writer.add_token_scores([processor.get_score(token) for token in tokens])
    writer.add_token_types([_type_of(processor, token) for token in tokens])
    writer.add_bos_token_id(BOS_ID)
    writer.add_eos_token_id(EOS_ID)
    writer.add_unk_token_id(UNK_ID)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _type_of(processor: Any, token: int) -> int:
    """The number of a token's type: the same in GGUF as in sentencepiece (`llama_token_type`)."""
    if processor.is_unknown(token):
        return 2
    if processor.is_control(token):
        return 3
    return 6 if processor.is_byte(token) else 1


def _tensors() -> dict[str, NDArray[np.float32]]:
    """All of them by GGUF's name, float32; the output is the embedding's, which llama.cpp knows by its absence."""
    small = compact.read()
    shape: dict[str, Any] = CONFIG
    heads = {"attn_q": shape["num_attention_heads"], "attn_k": shape["num_key_value_heads"]}
    tensors = {}
    for name, bits in sorted(small.tensors.items()):
        values = (bits.astype(np.uint32) << 16).view(np.float32)
        known = _name_of(name)
        part = known.removesuffix(".weight").rsplit(".", 1)[-1]
        tensors[known] = interleaved(values, heads[part]) if part in heads else values
    rows = tensors["token_embd.weight"]
    embedding = np.repeat(rows[-1:], VOCAB_SIZE, axis=0)
    embedding[small.kept_ids] = rows[:-1]
    return {**tensors, "token_embd.weight": embedding}


def _name_of(name: str) -> str:
    if name == compact.EMBEDDING:
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, *_, part, _ = name.split(".")
    return f"blk.{layer}.{(MODULES | NORMS)[part]}.weight"


def _write_folder(folder: Path) -> None:
    """It appears whole or not at all."""
    with whole_folder(folder) as fresh:
        write_gguf(fresh / FILE_NAME)
        (fresh / SEAL_FILE).write_text(json.dumps(_seal(fresh)) + "\n", encoding="utf-8")


def _is_whole(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / SEAL_FILE).read_text(encoding="utf-8")) == _seal(folder))
    except (OSError, ValueError):
        return False


def _seal(folder: Path) -> dict[str, object]:
    files = {"source": compact.COMPACT_FILE, "file": folder / FILE_NAME}
    return {"version": GGUF_VERSION, **{f"{name}_sha256": _sha256(path) for name, path in files.items()}}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
