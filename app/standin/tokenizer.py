"""The real Mistral v0.2 tokenizer in the form that transformers and vLLM load.

mistral-common ships it as a sentencepiece file, from which transformers builds a tokenizer that loses the
leading "▁". So `tokenizer.json` is written as it is for a GGUF file, which has the same pieces and scores.
"""

import importlib.util
import json
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from app.engines.llamacpp.gguf.sidecar import tokenizer_of

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
    tokens = range(processor.get_piece_size())
    pieces = [processor.id_to_piece(token) for token in tokens]
    scores = [processor.get_score(token) for token in tokens]
    return json.dumps(tokenizer_of(pieces, scores), ensure_ascii=False)


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
