"""What is not a GGUF file of Mistral 7B Instruct v0.2 is refused in one line before llama.cpp sees it."""

import random
import struct
from pathlib import Path
from typing import Protocol

import pytest

from app.engines.llamacpp.gguf.header import read_header
from app.engines.llamacpp.gguf.model import read_model
from app.errors import StartupError
from app.standin.shape import CONFIG
from app.standin.tokenizer import tokenizer_model_path

HEAD_BYTES = 2_000_000


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


class Changed(Protocol):
    def __call__(self, old: bytes = b"", new: bytes = b"", end: int | None = None) -> Path: ...


@pytest.fixture
def changed(gguf: Path, tmp_path: Path) -> Changed:
    """A copy with bytes replaced once; `end` cuts it."""

    def make(old: bytes = b"", new: bytes = b"", end: int | None = None) -> Path:
        data = gguf.read_bytes()
        assert not old or old in data
        path = tmp_path / "x.gguf"
        path.write_bytes(data.replace(old, new, 1)[:end] if old else data[:end])
        return path

    return make


def refusal(path: Path) -> str:
    with pytest.raises(StartupError) as refused:
        read_model(path)
    line = str(refused.value)
    assert "\n" not in line
    assert str(path) in line
    return line


def test_the_stand_in_is_read(gguf: Path) -> None:
    model = read_model(gguf)
    assert (model.hidden, model.layers, model.heads, model.key_heads, model.head_dim) == (256, 3, 4, 2, 64)
    assert (model.context, model.rope_theta) == (CONFIG["max_position_embeddings"], CONFIG["rope_theta"])
    assert model.pieces[:4] == ("<unk>", "<s>", "</s>", "<0x00>")
    assert model.cache_bytes_per_token == 2 * 2 * 3 * 2 * 64
    assert 0 < gguf.stat().st_size - model.size < HEAD_BYTES


def test_there_is_none(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "x.gguf")


def test_another_architecture(changed: Changed) -> None:
    path = changed(
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("general.architecture") + struct.pack("<I", 8) + text("qwen2"),
    )
    assert "general.architecture must be \"llama\", found 'qwen2'" in refusal(path)


def test_another_vocabulary(changed: Changed) -> None:
    assert "its token 2 is '<eos', in Mistral's vocabulary '</s>'" in refusal(
        changed(text("</s>"), text("<eos"))
    )


def test_another_vocabulary_that_begins_alike(changed: Changed) -> None:
    path = changed(text("\N{LOWER ONE EIGHTH BLOCK}the"), text("\N{LOWER ONE EIGHTH BLOCK}thx"))
    assert "its tokens are not those of Mistral 7B Instruct v0.2" in refusal(path)


def test_another_kind_of_tokenizer(changed: Changed) -> None:
    key = text("tokenizer.ggml.model") + struct.pack("<I", 8)
    assert 'tokenizer.ggml.model must be "llama"' in refusal(
        changed(key + text("llama"), key + text("gpt22"))
    )


def test_another_end_token(changed: Changed) -> None:
    key = text("tokenizer.ggml.eos_token_id") + struct.pack("<I", 4)
    path = changed(key + struct.pack("<I", 2), key + struct.pack("<I", 7))
    assert "its eos token is 7, in Mistral's vocabulary 2" in refusal(path)


def test_a_tensor_of_another_shape(changed: Changed) -> None:
    key = text("llama.feed_forward_length") + struct.pack("<I", 4)
    path = changed(key + struct.pack("<I", 512), key + struct.pack("<I", 768))
    assert "its tensor blk.0.ffn_gate.weight has the shape [256, 512], [256, 768] is wanted" in refusal(path)


def test_a_tensor_that_is_missing(changed: Changed) -> None:
    path = changed(text("blk.1.attn_k.weight"), text("blk.1.attn_x.weight"))
    assert "its tensor blk.1.attn_k.weight is missing" in refusal(path)


def test_more_layers_than_there_can_be(changed: Changed) -> None:
    key = text("llama.block_count") + struct.pack("<I", 4)
    path = changed(key + struct.pack("<I", 3), key + struct.pack("<I", 4_000_000_000))
    assert "llama.block_count must be a whole number from 1 to 1024" in refusal(path)


def test_a_mixture_of_experts(tmp_path: Path) -> None:
    from app.standin.gguf import write_gguf

    write_gguf(tmp_path / "x.gguf", "Q4_0", {"llama.expert_count": 8})
    assert "mixture of experts" in refusal(tmp_path / "x.gguf")


@pytest.mark.parametrize("kept", [0, 3, 4, 10, 24, 30, 1000, 100_000, 1_000_000, -1])
def test_cut_short_anywhere(changed: Changed, kept: int) -> None:
    line = refusal(changed(end=kept))
    assert any(word in line for word in ("cut short", "not a GGUF file"))


@pytest.mark.parametrize(
    ("place", "value", "what"),
    [
        (4, 99, "GGUF version is 99"),
        (8, 2**62, "tensors"),
        (16, 2**62, "metadata entries"),
        (24, 2**62, "text of"),
    ],
)
def test_numbers_that_can_not_be(gguf: Path, tmp_path: Path, place: int, value: int, what: str) -> None:
    data = bytearray(gguf.read_bytes()[:HEAD_BYTES])
    layout = "<I" if value < 2**32 else "<Q"
    struct.pack_into(layout, data, place, value)
    (tmp_path / "x.gguf").write_bytes(data)
    assert what in refusal(tmp_path / "x.gguf")


def test_any_broken_head_is_a_refusal_or_a_model(gguf: Path, tmp_path: Path) -> None:
    """Never another exception, and no memory by a number in the file."""
    head, path, seeded = gguf.read_bytes()[:4000], tmp_path / "x.gguf", random.Random(7)
    refused = 0
    for _ in range(300):
        data = bytearray(head)
        for _ in range(seeded.randrange(1, 4)):
            data[seeded.randrange(len(data))] = seeded.randrange(256)
        path.write_bytes(data)
        with pytest.raises(StartupError):
            read_header(path)
        refused += 1
    assert refused == 300


def test_the_vocabulary_is_mistrals(gguf: Path) -> None:
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor(model_file=str(tokenizer_model_path()))
    model = read_model(gguf)
    assert list(model.pieces) == [processor.id_to_piece(token) for token in range(32_000)]
