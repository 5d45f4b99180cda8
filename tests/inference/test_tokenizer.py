"""app.inference.tokenizer against sentencepiece, which mistral-common uses."""

import json
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from app.errors import StartupError
from app.inference.tokenizer import Tokenizer
from app.standin.tokenizer import tokenizer_model_path

UNK, BOS, EOS = 0, 1, 2

# Where byte-pair encoders differ: repeats, spaces, control tokens, byte pieces, other scripts.
FRAGMENTS = st.sampled_from(
    [
        *("<s>", "</s>", "<unk>", "[INST]", " [/INST]", "<0x0A>", " ", "  ", "\n", "\t", "\r\n", "\x00"),
        *("▁", "é", "e\u0301", "😀", "漢字", "﷽", "\u200b", "\x7f", "0", "a", "aa", "the", " the", "Hello"),
        *("=", "----", "://", "\ufffd"),
    ]
)
RUNS = st.builds(lambda text, count: text * count, FRAGMENTS, st.integers(1, 40))
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    st.lists(FRAGMENTS | RUNS, max_size=12).map("".join),
)


@pytest.fixture(scope="module")
def oracle() -> SentencePieceProcessor:
    return SentencePieceProcessor(model_file=str(tokenizer_model_path()))


@given(TEXTS)
@settings(max_examples=600, deadline=None)
def test_plain_is_sentencepiece(tokenizer: Tokenizer, oracle: SentencePieceProcessor, text: str) -> None:
    assert tokenizer.plain(text) == oracle.encode(text)


def test_ids_of_control_tokens(tokenizer: Tokenizer) -> None:
    assert (tokenizer.bos_id, tokenizer.eos_id) == (BOS, EOS)


def test_verbatim_parses_what_plain_leaves_text(tokenizer: Tokenizer, oracle: SentencePieceProcessor) -> None:
    text = "<s>[INST]comedian[/INST]</s>\n[INST]tell me a joke[/INST]"
    expected = [
        BOS,
        *oracle.encode("[INST]comedian[/INST]"),
        EOS,
        *oracle.encode("\n[INST]tell me a joke[/INST]"),
    ]
    assert tokenizer.verbatim(text) == expected
    assert not {UNK, BOS, EOS} & set(tokenizer.plain(text))


@pytest.mark.parametrize("as_text", [False, True])
def test_plain_never_spells_a_control_token_by_merging(weights: Path, as_text: bool) -> None:
    definition = json.loads((weights / "tokenizer.json").read_text("utf-8"))
    definition["model"]["vocab"]["s>"] = len(definition["model"]["vocab"])
    merges = [["s", ">"], ["<", "/"], ["</", "s>"], *definition["model"]["merges"]]
    definition["model"]["merges"] = [" ".join(merge) for merge in merges] if as_text else merges
    assert EOS not in Tokenizer(definition).plain("end</s>")


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_count_at_least_is_a_lower_bound(tokenizer: Tokenizer, text: str) -> None:
    least = tokenizer.count_at_least(len(text))
    assert least <= len(tokenizer.plain(text))
    assert least <= len(tokenizer.verbatim(text)) or not text


def test_count_at_least_grows_with_the_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.count_at_least(0) == 0
    assert tokenizer.count_at_least(1) == 1
    assert tokenizer.count_at_least(10_000_000) == 625_000  # the longest token has 16 characters


def test_encoding_lets_other_threads_run(tokenizer: Tokenizer) -> None:
    """Long texts are encoded in a thread, which helps only when the interpreter lock is free meanwhile."""
    turns, seen, done = 0, [], threading.Event()

    def encode() -> None:
        seen.append(turns)
        tokenizer.plain("some words " * 60_000)
        seen.append(turns)
        done.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)  # so the other thread runs only when this one lets it
    try:
        threading.Thread(target=encode).start()
        while not done.is_set():
            turns += 1
            time.sleep(0)
    finally:
        sys.setswitchinterval(interval)
    assert seen[1] - seen[0] > 100


class TestBrokenFolders:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(StartupError, match=r"^\S+tokenizer\.json: No such file or directory: ") as caught:
            Tokenizer.from_folder(tmp_path)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "{",
            "[]",
            "{}",
            '{"added_tokens": [], "model": {}}',
            '{"added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}',
            '{"added_tokens": 3, "model": {"type": "BPE", "vocab": {}, "merges": []}}',
        ],
    )
    def test_broken(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(StartupError, match="not a tokenizer with <s> and </s>") as caught:
            Tokenizer.from_folder(tmp_path)
        assert "\n" not in str(caught.value)
