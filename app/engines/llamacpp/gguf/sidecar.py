"""`config.json` and `tokenizer.json` beside a GGUF file, which has in its head what they say.

Adapters are checked against the one, and prompts are made with the other, as for weights of any other kind.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.engines.llamacpp.gguf.model import CONTROL, FIRST_PIECE, SPACE, GgufModel, read_model
from app.files import private_folder, write_private_file


def make_sidecar(gguf: Path, folder: Path) -> None:
    """Write both files to `folder`, each whole or not at all; files that are there are replaced.

    Raises StartupError when the GGUF can't be served, OSError when the files can't be written.
    """
    model = read_model(gguf)
    private_folder(folder)
    for name, content in (
        ("config.json", config_of(model)),
        ("tokenizer.json", tokenizer_of(model.pieces, model.scores)),
    ):
        write_private_file(folder / name, json.dumps(content, ensure_ascii=False).encode())


def config_of(model: GgufModel) -> dict[str, Any]:
    """As transformers writes it for a Mistral."""
    return {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "hidden_size": model.hidden,
        "intermediate_size": model.intermediate,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.key_heads,
        "head_dim": model.head_dim,
        "max_position_embeddings": model.context,
        "rms_norm_eps": model.norm_epsilon,
        "rope_theta": model.rope_theta,
        "vocab_size": len(model.pieces),
        "bos_token_id": CONTROL["bos"][0],
        "eos_token_id": CONTROL["eos"][0],
    }


def tokenizer_of(pieces: Sequence[str], scores: Sequence[float]) -> dict[str, Any]:
    """`tokenizer.json` for Mistral's vocabulary by token: control tokens, bytes, then pieces.

    Byte-pair encoding with byte fallback: one merge for each way to split a piece into two others, best piece first.

    Text begins with a space that is no part of it, as sentencepiece has it.
    """
    bos = CONTROL["bos"]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_control(token, piece) for token, piece in CONTROL.values()],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": SPACE},
                {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": _begins_with(*bos),
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": CONTROL["unknown"][1],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece: token for token, piece in enumerate(pieces)},
            "merges": _merges(pieces, scores),
        },
    }


def _merges(pieces: Sequence[str], scores: Sequence[float]) -> list[list[str]]:
    normal = {piece: token for token, piece in enumerate(pieces) if token >= FIRST_PIECE}
    ranked = sorted(normal, key=lambda piece: -scores[normal[piece]])
    return [
        [piece[:cut], piece[cut:]]
        for piece in ranked
        for cut in range(1, len(piece))
        if piece[:cut] in normal and piece[cut:] in normal
    ]


def _control(token: int, piece: str) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": token, "content": piece, **flags}


def _begins_with(token: int, piece: str) -> dict[str, Any]:
    special = {"SpecialToken": {"id": piece, "type_id": 0}}
    first = [special, {"Sequence": {"id": "A", "type_id": 0}}]
    second = [{"SpecialToken": {"id": piece, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}]
    return {
        "type": "TemplateProcessing",
        "single": first,
        "pair": first + second,
        "special_tokens": {piece: {"id": piece, "ids": [token], "tokens": [piece]}},
    }
