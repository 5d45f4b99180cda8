"""Every field of the installed packages' requests is served, changes nothing, or is refused; docs say which."""

import re
from contextlib import suppress
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsBase
from openai.types.chat.completion_create_params import CompletionCreateParamsBase as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsBase as CompletionParams
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest

from app.errors import BadInput
from app.http.dialects.anthropic_messages import MessagesDialect
from app.http.dialects.fields import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Fields
from app.http.dialects.openai import OpenAiDialect
from app.http.dialects.openai_responses import ResponsesDialect
from app.http.padding import Padding
from app.settings import CHECKOUT
from tests.conftest import HF

PUBLISHED: dict[str, tuple[Fields, set[str]]] = {
    "chat": (CHAT, {*ChatCompletionRequest.model_fields, *ChatParams.__annotations__}),
    "completions": (COMPLETIONS, {*CompletionRequest.model_fields, *CompletionParams.__annotations__}),
    "responses": (RESPONSES, {*ResponsesRequest.model_fields, *ResponseCreateParamsBase.__annotations__}),
    "messages": (MESSAGES, set(MessageCreateParamsBase.__annotations__)),
}
PADDING = Padding(enabled=False)
TURNS = [{"role": "user", "content": "Hello"}]
PARSERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "chat": (OpenAiDialect(PADDING).parse_chat, {"model": HF, "messages": TURNS}),
    "completions": (OpenAiDialect(PADDING).parse_completion, {"model": HF, "prompt": "Hello"}),
    "responses": (ResponsesDialect(PADDING).parse, {"model": HF, "input": "Hello"}),
    "messages": (MessagesDialect(PADDING).parse, {"model": HF, "messages": TURNS, "max_tokens": 9}),
}
VALUES: tuple[Any, ...] = (True, 5, "text", ["text"], {"a": 1}, 0.5)


@pytest.mark.parametrize("api", PUBLISHED)
def test_every_published_field_has_its_place(api: str) -> None:
    fields, published = PUBLISHED[api]
    known = fields.served | fields.changes_nothing | fields.refused.keys()
    assert published - known == set()
    assert not fields.served & fields.changes_nothing
    assert not (fields.served | fields.changes_nothing) & fields.refused.keys()
    assert fields.as_is.keys() <= fields.refused.keys()


SHOWN_ELSEWHERE = {"include", "stream_options", "parallel_tool_calls"}
"""What only some paths have, and what changes no answer on the others."""
SAID_OTHERWISE = {"messages", "prompt", "input", "max_completion_tokens", "max_output_tokens"}
"""Every path requires its own name for it, the last two beside `max_tokens` of messages."""


@pytest.mark.parametrize("api", PUBLISHED)
def test_what_another_path_serves_is_not_lost(api: str) -> None:
    fields, _ = PUBLISHED[api]
    elsewhere = set[str]().union(*(other.served for other, _ in PUBLISHED.values()))
    known = fields.served | fields.changes_nothing | fields.refused.keys()
    assert elsewhere - known <= SHOWN_ELSEWHERE | SAID_OTHERWISE


@pytest.mark.parametrize("api", PUBLISHED)
def test_what_bounds_an_answer_is_lost_nowhere(api: str) -> None:
    """As vLLM's and OpenAI's clients send it, older names and other paths' names too."""
    parse, body = PARSERS[api]
    plain = parse(body)
    for sent in (
        {"structured_outputs": {"choice": ["yes", "no"]}},
        {"guided_choice": ["yes", "no"]},
        {"response_format": {"type": "json_object"}},
        {"guided_json": {"type": "object"}, "guided_whitespace_pattern": "x"},
        {"logit_bias": {"5": 100}},
        {"n": 2},
        {"best_of": 2},
        {"stop": ["x"]},
        {"min_p": 0.5},
        {"frequency_penalty": 1.5},
    ):
        with suppress(BadInput):
            asked = parse({**body, **sent})
            assert (asked.unchecked, asked.extras, asked.body) != (plain.unchecked, plain.extras, plain.body)


@pytest.mark.parametrize(
    ("api", "name"), [(api, name) for api, (fields, _) in PUBLISHED.items() for name in fields.refused]
)
def test_what_is_refused_says_what_to_do(api: str, name: str) -> None:
    parse, body = PARSERS[api]
    fields = PUBLISHED[api][0]
    for value in VALUES:
        if value == fields.as_is.get(name):
            continue
        with pytest.raises(BadInput, match=f"'/{name}' is not supported: .") as refused:
            parse({**body, name: value})
        assert str(refused.value).endswith(fields.refused[name])
    parse({**body, name: None})
    parse({**body, name: fields.as_is.get(name, False)})


@pytest.mark.parametrize("api", PUBLISHED)
def test_what_changes_nothing_changes_nothing(api: str) -> None:
    parse, body = PARSERS[api]
    plain = parse(body)
    for name in PUBLISHED[api][0].changes_nothing:
        for value in VALUES:
            asked = parse({**body, name: value})
            assert (asked.body, asked.unchecked, asked.extras, asked.lora) == (
                plain.body,
                plain.unchecked,
                plain.extras,
                plain.lora,
            ), (name, value)


SEEN: dict[str, dict[str, Any]] = {
    "stream": {"stream": True},
    "temperature": {"temperature": 0.5},
    "top_p": {"top_p": 0.5},
    "top_k": {"top_k": 5},
    "min_p": {"min_p": 0.5},
    "seed": {"seed": 7},
    "random_seed": {"random_seed": 7},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "presence_penalty": {"presence_penalty": 0.5},
    "repetition_penalty": {"repetition_penalty": 1.5},
    "stop": {"stop": ["x"]},
    "stop_token_ids": {"stop_token_ids": [5]},
    "bad_words": {"bad_words": ["x"]},
    "ignore_eos": {"ignore_eos": True},
    "min_tokens": {"min_tokens": 5},
    "structured_outputs": {"structured_outputs": {"choice": ["a"]}},
    "guided_json": {"guided_json": {"type": "object"}},
    "guided_regex": {"guided_regex": "a+"},
    "guided_choice": {"guided_choice": ["a"]},
    "guided_grammar": {"guided_grammar": 'root ::= "a"'},
    "lora": {"lora": "x"},
    "raw": {"raw": True},
    "messages": {"messages": [{"role": "user", "content": "Other"}]},
    "prompt": {"prompt": "Other"},
    "input": {"input": "Other"},
    "instructions": {"instructions": "Be kind."},
    "system": {"system": "Be kind."},
    "max_tokens": {"max_tokens": 5},
    "max_completion_tokens": {"max_completion_tokens": 5},
    "max_output_tokens": {"max_output_tokens": 5},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"top_logprobs": 2, "logprobs": True},
    "include": {"include": ["message.output_text.logprobs"]},
    "tools": {"tools": [{"type": "function", "function": {"name": "f"}, "name": "f", "input_schema": {}}]},
    "tool_choice": {"tool_choice": "auto"},
    "parallel_tool_calls": {"parallel_tool_calls": False},
    "response_format": {"response_format": {"type": "json_object"}},
    "text": {"text": {"format": {"type": "json_object"}}},
    "output_config": {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
    "output_format": {"output_format": {"type": "json_schema", "schema": {}}},
    "stop_sequences": {"stop_sequences": ["x"]},
}
CHECKED_ELSEWHERE = {"model", "n", "best_of", "stream_options"}
OTHER_FORM: dict[tuple[str, str], dict[str, Any]] = {
    ("completions", "logprobs"): {"logprobs": 2},
    ("completions", "raw"): {"raw": False},
    ("responses", "top_logprobs"): {"top_logprobs": 2},
    ("messages", "tools"): {"tools": [{"name": "f", "input_schema": {}}]},
    ("messages", "tool_choice"): {"tool_choice": {"type": "auto"}},
}


@pytest.mark.parametrize(
    ("api", "name"),
    [
        (api, name)
        for api, (fields, _) in PUBLISHED.items()
        for name in sorted(fields.served - CHECKED_ELSEWHERE)
    ],
)
def test_what_is_served_is_read(api: str, name: str) -> None:
    parse, body = PARSERS[api]
    plain, asked = parse(body), parse({**body, **OTHER_FORM.get((api, name), SEEN[name])})
    assert (asked.body, asked.unchecked, asked.extras, asked.lora) != (
        plain.body,
        plain.unchecked,
        plain.extras,
        plain.lora,
    )


def test_the_documents_table() -> None:
    text = (CHECKOUT / "docs" / "sampling.md").read_text("utf-8")
    rows = dict(
        re.findall(r"^\| `(chat/completions|completions|responses|messages)` \| (.*) \|$", text, re.MULTILINE)
    )
    for path, (fields, _) in zip(rows, PUBLISHED.values(), strict=True):
        served, nothing, refused = (set(re.findall(r"`(\w+)`", cell)) for cell in rows[path].split(" | "))
        assert served == fields.served, path
        assert nothing == fields.changes_nothing, path
        assert refused == fields.refused.keys(), path
