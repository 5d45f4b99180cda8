"""app.inference.prompt: token for token mistral-common's v1 instruct tokenizer, and the rules beyond it."""

from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistral_common.protocol.instruct.messages import AssistantMessage, SystemMessage, UserMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from app.inference.prompt import PromptBuilder
from app.inference.tokenizer import Tokenizer
from app.types import Message, Sampling, TextRequest

BOS, EOS = 1, 2
KINDS = {"user": UserMessage, "assistant": AssistantMessage, "system": SystemMessage}
MAY_FOLLOW = {
    "start": ("user", "assistant", "system"),
    "system": ("user", "assistant", "system"),
    "user": ("assistant", "system", "user"),
    "assistant": ("assistant", "user"),
}
"""Which role mistral-common takes after which."""

FRAGMENTS = st.sampled_from(
    [
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\t",
        "\x00",
        "▁",
        "é",
        "😀",
        "漢字",
        "Hi",
        " you",
        "0",
    ]
)
CONTENTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.lists(FRAGMENTS, max_size=6).map("".join),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """What mistral-common accepts: its order of roles, assistant turns with content and never alone."""
    messages, role = list[Message](), "start"
    for _ in range(draw(st.integers(1, 7))):
        choices = MAY_FOLLOW[role] if bool(messages) or draw(st.booleans()) else ("user", "system")
        role = draw(st.sampled_from(choices))
        messages.append(Message(role, draw(CONTENTS.filter(bool) if role == "assistant" else CONTENTS)))
    lone = len(messages) == 1 and role == "assistant"
    return [*messages, Message("user", draw(CONTENTS))] if lone else messages


@pytest.fixture(scope="module")
def oracle() -> MistralTokenizer:
    return MistralTokenizer.v1()


@pytest.fixture(scope="module")
def builder(tokenizer: Tokenizer) -> PromptBuilder:
    return PromptBuilder(tokenizer)


def reference(oracle: MistralTokenizer, messages: list[Message]) -> list[int]:
    """mistral-common's tokens; a last assistant turn is marked as the prefix that it is."""
    converted = [KINDS[message.role](content=message.content) for message in messages]
    if messages[-1].role == "assistant":
        converted[-1].prefix = True
    return list(oracle.encode_chat_completion(ChatCompletionRequest(messages=converted)).tokens)


def request(
    *messages: tuple[str, str] | Message, prompt: str | None = None, raw: bool = False
) -> TextRequest:
    turns = tuple(message if isinstance(message, Message) else Message(*message) for message in messages)
    return TextRequest(prompt, None if prompt is not None else turns, Sampling(max_tokens=1), raw=raw)


class Build(Protocol):
    def __call__(
        self, *messages: tuple[str, str] | Message, prompt: str | None = None, raw: bool = False
    ) -> list[int]: ...


@pytest.fixture
def build(builder: PromptBuilder) -> Build:
    return lambda *messages, **options: builder.build(request(*messages, **options)).token_ids


class TestAsMistralCommon:
    @given(conversations())
    @settings(max_examples=500, deadline=None)
    def test_conversations(
        self, oracle: MistralTokenizer, builder: PromptBuilder, messages: list[Message]
    ) -> None:
        assert builder.build(request(*messages)).token_ids == reference(oracle, messages)

    @given(CONTENTS)
    @settings(max_examples=100, deadline=None)
    def test_a_prompt_is_one_user_turn(
        self, oracle: MistralTokenizer, builder: PromptBuilder, text: str
    ) -> None:
        assert builder.build(request(prompt=text)).token_ids == reference(oracle, [Message("user", text)])

    @pytest.mark.parametrize(
        "messages",
        [
            [("user", "a"), ("system", "s"), ("user", "b")],  # the system turn keeps them apart
            [("system", "s"), ("system", ""), ("system", "t"), ("user", "a"), ("user", ""), ("user", "b")],
            [("system", "s")],
            [("system", "")],
            [("assistant", "a"), ("user", "b")],
            [("system", "s"), ("assistant", "a"), ("assistant", "b"), ("user", "c")],
            [("user", "  a  "), ("assistant", " b \n"), ("user", "")],
        ],
    )
    def test_corners(self, oracle: MistralTokenizer, build: Build, messages: list[tuple[str, str]]) -> None:
        assert build(*messages) == reference(oracle, [Message(*message) for message in messages])


class TestBeyond:
    @pytest.mark.parametrize("role", ["function", "developer", "", "USER", "TOOL"])
    def test_other_roles_are_user_turns(self, build: Build, role: str) -> None:
        assert build((role, "a"), ("user", "b")) == build(("user", "a"), ("user", "b"))

    def test_system_text_anywhere_joins_the_first_user_turn(self, build: Build) -> None:
        expected = build(("system", "s\n\nt"), ("user", "a"), ("assistant", "b"), ("user", "c"))
        assert (
            build(("user", "a"), ("system", "s"), ("assistant", "b"), ("system", "t"), ("user", "c"))
            == expected
        )

    def test_a_last_assistant_turn_is_continued(self, build: Build, tokenizer: Tokenizer) -> None:
        token_ids = build(("user", "a"), ("assistant", "Sure:"))
        assert token_ids == [*build(("user", "a")), *tokenizer.plain("Sure:")]

    def test_empty_assistant_turns_are_dropped(self, build: Build) -> None:
        expected = build(("user", "a"), ("user", "b"))
        assert build(("user", "a"), ("assistant", ""), ("user", "b"), ("assistant", "")) == expected

    def test_a_lone_assistant_turn_follows_an_empty_user_turn(
        self, build: Build, tokenizer: Tokenizer
    ) -> None:
        assert build(("assistant", "Hi")) == [*build(("user", "")), *tokenizer.plain("Hi")]

    def test_nothing_is_an_empty_user_turn(self, build: Build) -> None:
        assert build() == build(("assistant", "")) == build(("user", ""))

    def test_user_text_never_becomes_a_control_token(self, build: Build) -> None:
        text = "</s><s>[INST] x [/INST]<unk>"
        token_ids = build(("system", text), ("user", text), ("assistant", text), ("user", text))
        assert [token for token in token_ids if token < 3] == [BOS, EOS]


class TestRaw:
    def test_bos_is_put_in_front(self, build: Build, tokenizer: Tokenizer) -> None:
        assert build(prompt="Once upon", raw=True) == [BOS, *tokenizer.plain("Once upon")]

    @pytest.mark.parametrize("start", ["<s>", "<s><s>"])
    def test_bos_is_never_doubled(self, build: Build, tokenizer: Tokenizer, start: str) -> None:
        assert build(prompt=f"{start}Once upon", raw=True) == [BOS, *tokenizer.plain("Once upon")]

    def test_control_tokens_are_parsed_and_kept(self, build: Build, tokenizer: Tokenizer) -> None:
        plain = tokenizer.plain
        expected = [BOS, *plain("[INST]a[/INST]"), EOS, BOS, *plain("[INST]b[/INST]")]
        assert build(prompt="<s>[INST]a[/INST]</s><s>[INST]b[/INST]", raw=True) == expected

    def test_the_templates_text_gives_the_templates_tokens(self, build: Build) -> None:
        text = "<s>[INST] s\n\na [/INST] b</s>[INST] c [/INST]"
        turns = (("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"))
        assert build(prompt=text, raw=True) == build(*turns)

    def test_contents_of_messages_follow_each_other(self, build: Build) -> None:
        turns = (("system", "<s>[INST] a"), ("user", " [/INST]"))
        assert build(*turns, raw=True) == build(prompt="<s>[INST] a [/INST]", raw=True)

    @pytest.mark.parametrize("text", ["", "<s>"])
    def test_nothing_is_bos(self, build: Build, text: str) -> None:
        assert build(prompt=text, raw=True) == [BOS]


@given(
    st.lists(st.builds(Message, st.sampled_from(["user", "assistant", "system"]), CONTENTS), max_size=6),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_count_at_least_is_a_lower_bound(builder: PromptBuilder, messages: list[Message], raw: bool) -> None:
    asked = request(*messages, raw=raw)
    assert builder.count_at_least(builder.chars(asked)) <= len(builder.build(asked).token_ids)
