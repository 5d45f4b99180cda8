"""The real Mistral v0.2 tokenizer in the form that transformers and vLLM load.

mistral-common ships it as a sentencepiece file, from which transformers builds a tokenizer that loses the
leading "▁". So `tokenizer.json` is written here: byte-pair encoding with byte fallback, one merge for every
way in which a piece splits into two other pieces, best piece first.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor

from app.standin.shape import BOS_ID, EOS_ID, UNK_ID

SPACE = "▁"
CONTROL_IDS = (UNK_ID, BOS_ID, EOS_ID)

CHAT_TEMPLATE = (
    "{{ bos_token }}{% set ns = namespace(system='') %}{% for m in messages %}"
    "{% if m.role == 'system' %}{% set ns.system = ns.system + m.content + '\\n\\n' %}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}"
    "{% else %}{{ '[INST] ' + ns.system + m.content + ' [/INST]' }}{% set ns.system = '' %}{% endif %}"
    "{% endfor %}"
)
"""Mistral v0.2's layout, for servers that want a template; the system text joins the user turn after it."""


def tokenizer_model_path() -> Path:
    """The sentencepiece file inside mistral-common, found without importing the package."""
    spec = importlib.util.find_spec("mistral_common")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("mistral_common is not installed")
    return Path(spec.origin).parent / "data" / "tokenizer.model.v1"


def tokenizer_json(model: Path) -> str:
    """`tokenizer.json` with the same token ids as the sentencepiece file for every text."""
    processor = SentencePieceProcessor(model_file=str(model))
    pieces = [processor.id_to_piece(token) for token in range(processor.get_piece_size())]
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(token, pieces[token]) for token in CONTROL_IDS],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": SPACE},
                {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": _bos_first(pieces[BOS_ID]),
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
            "unk_token": pieces[UNK_ID],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece: token for token, piece in enumerate(pieces)},
            "merges": _merges(processor, pieces),
        },
    }
    return json.dumps(content, ensure_ascii=False)


def tokenizer_config() -> dict[str, object]:
    """`tokenizer_config.json`: the generic class, which reads `tokenizer.json` as it is."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "add_bos_token": True,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 32_768,
        "chat_template": CHAT_TEMPLATE,
    }


def _merges(processor: SentencePieceProcessor, pieces: list[str]) -> list[list[str]]:
    """Pairs of pieces that join into a third, best score first; never byte or control pieces."""
    normal = {p: t for t, p in enumerate(pieces) if not processor.is_byte(t) and t not in CONTROL_IDS}
    ranked = sorted(normal, key=lambda piece: -processor.get_score(normal[piece]))
    return [
        [piece[:cut], piece[cut:]]
        for piece in ranked
        for cut in range(1, len(piece))
        if piece[:cut] in normal and piece[cut:] in normal
    ]


def _added(token: int, piece: str) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": token, "content": piece, **flags}


def _bos_first(bos: str) -> dict[str, Any]:
    def part(kind: str, name: str, type_id: int) -> dict[str, Any]:
        return {kind: {"id": name, "type_id": type_id}}

    first = [part("SpecialToken", bos, 0), part("Sequence", "A", 0)]
    second = [part("SpecialToken", bos, 1), part("Sequence", "B", 1)]
    return {
        "type": "TemplateProcessing",
        "single": first,
        "pair": first + second,
        "special_tokens": {bos: {"id": bos, "ids": [BOS_ID], "tokens": [bos]}},
    }
