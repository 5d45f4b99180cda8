"""`tokenizer.json` must give the ids of mistral-common's own file, for any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistral_common.protocol.instruct.messages import AssistantMessage, UserMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer

from app.standin.recipe.conversations import encode
from app.standin.tokenizer import tokenizer_json, tokenizer_model_path

MODEL = SentencePieceProcessor(model_file=str(tokenizer_model_path()))
OURS = Tokenizer.from_str(tokenizer_json(tokenizer_model_path()))
PIECES = [MODEL.id_to_piece(token).replace("▁", " ") for token in range(259, MODEL.get_piece_size())]
CONTROL = ("<s>", "</s>", "<unk>")

any_text = st.text(st.characters(exclude_categories=["Cs"]))
of_pieces = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)
texts = st.one_of(any_text, of_pieces, st.tuples(any_text, of_pieces).map("".join))


@given(texts.filter(lambda text: not any(control in text for control in CONTROL)))
def test_ids_and_text_are_those_of_sentencepiece(text: str) -> None:
    ids = MODEL.encode(text)
    assert OURS.encode(text, add_special_tokens=False).ids == ids
    assert OURS.decode(ids) == MODEL.decode(ids)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "  ",
        " " * 3000,
        "\n\n",
        "a   b",
        "▁",
        "\t\0",
        "<0x0A>",
        "日本語で",
        "👩‍👩‍👧 é",
        "[INST]",
        "x" * 5000,
    ],
)
def test_odd_texts(text: str) -> None:
    assert OURS.encode(text, add_special_tokens=False).ids == MODEL.encode(text)


def test_bos_comes_first_and_control_tokens_are_parsed() -> None:
    assert OURS.encode("Hi").ids == [1, *MODEL.encode("Hi")]
    assert OURS.encode("Hi</s>").ids[-1] == 2


def test_training_conversations_have_the_layout_of_mistral_common() -> None:
    turns = [("You are kind.\n\nWhich port?", "8788."), ("Thanks!  ", "You are welcome.")]
    messages = [
        message
        for question, answer in turns
        for message in (UserMessage(content=question), AssistantMessage(content=answer))
    ]
    request = ChatCompletionRequest(messages=[*messages, UserMessage(content="Bye")])
    theirs = MistralTokenizer.v1().encode_chat_completion(request).tokens
    assert theirs == [*encode(MODEL, turns).ids, *MODEL.encode("[INST] Bye [/INST]")]


def test_only_answers_and_their_end_are_learnt() -> None:
    example = encode(MODEL, [("Which port?", "8788.")])
    learnt = [token for token, learn in zip(example.ids, example.learn, strict=True) if learn]
    assert learnt == [*MODEL.encode("8788."), 2]
