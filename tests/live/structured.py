"""Answers of other forms, and fields of vLLM's: tests that `test_engines.py` runs on each engine that it starts."""

import re
from typing import Any

import pytest

from app.standin.recipe.text import load
from tests.live.server import HF, OPENAI_CHAT, LiveServer

ENTRIES = load().entries
ONE_WORD = {
    "model": HF,
    "messages": [{"role": "user", "content": "Say yes or no."}],
    "temperature": 1.5,
    "seed": 1,
}
EXACT = ["yes", "no", "yes, please", 'a "quote"', "é 日本"]


def ask(server: LiveServer, **more: Any) -> dict[str, Any]:
    answer = server.client.post(OPENAI_CHAT, json={**ONE_WORD, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["choices"][0])


def test_an_answer_is_one_of_the_choices(server: LiveServer) -> None:
    said = {
        ask(server, structured_outputs={"choice": EXACT}, seed=seed)["message"]["content"]
        for seed in range(1, 9)
    }
    assert said <= set(EXACT)
    for only in EXACT:
        assert ask(server, guided_choice=[only])["message"]["content"] == only
    raw = {"model": HF, "prompt": "Yes or no? Answer:", "structured_outputs": {"choice": ["yes", "no"]}}
    path = OPENAI_CHAT.replace("chat/completions", "completions")
    answer = server.client.post(path, json=raw)
    assert answer.json()["choices"][0]["text"] in ("yes", "no")


OTHER_FORMS: dict[str, tuple[dict[str, Any], str]] = {
    "regex": ({"structured_outputs": {"regex": r"[A-F]{3}-\d{2,4}"}}, r"[A-F]{3}-\d{2,4}"),
    "regex with a blank": ({"structured_outputs": {"regex": " x+ y{2}"}}, " x+ y{2}"),
    "regex of either": ({"guided_regex": "^(cat|dog)s?$|^none$"}, "(cat|dog)s?|none"),
    "regex of a control token's name": (
        {"structured_outputs": {"regex": "(<(s|unk)>){8}"}},
        "(<(s|unk)>){8}",
    ),
    "grammar": ({"structured_outputs": {"grammar": 'root ::= "(" ("a" | root) ")"'}}, r"\(+a\)+"),
    "tag": (
        {
            "response_format": {
                "type": "structural_tag",
                "format": {"type": "const_string", "value": "exactly"},
            }
        },
        "exactly",
    ),
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_an_answer_is_of_another_form(server: LiveServer, form: str, request: pytest.FixtureRequest) -> None:
    """xgrammar's forms, which llama.cpp does not have."""
    asked, pattern = OTHER_FORMS[form]
    if request.node.callspec.params["server"] == "llamacpp":
        refused = server.client.post(OPENAI_CHAT, json={**ONE_WORD, **asked})
        assert refused.status_code == 400
        assert "is not supported: the engine of this model does not have it" in refused.text
        return
    for seed in range(1, 4):
        choice = ask(server, **asked, seed=seed, max_tokens=60)
        text = choice["message"]["content"]
        whole = re.fullmatch(pattern, text)
        assert whole or choice["finish_reason"] == "length", text


@pytest.mark.parametrize(
    "broken",
    [
        {"regex": "(a"},
        {"regex": "(?=a)b"},
        {"grammar": "main ::= x"},
        {"structural_tag": {"format": {"type": "x"}}},
    ],
)
def test_forms_that_are_none(server: LiveServer, broken: dict[str, Any]) -> None:
    answer = server.client.post(OPENAI_CHAT, json={**ONE_WORD, "structured_outputs": broken})
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert ask(server, temperature=0)["finish_reason"] == "stop"


def test_fields_of_vllm(server: LiveServer, request: pytest.FixtureRequest) -> None:
    """`min_p` 1 leaves the likeliest token alone; a token that ends, and a word that never comes."""
    engine = request.node.callspec.params["server"]
    greedy = {**ONE_WORD, "messages": [{"role": "user", "content": ENTRIES[0].ask[0]}]}
    plain = ask(server, **{**greedy, "temperature": 0, "logprobs": True})
    text, tokens = plain["message"]["content"], plain["logprobs"]["content"]
    assert ask(server, **{**greedy, "temperature": 5, "min_p": 1.0, "seed": 7})["message"]["content"] == text
    word = text.split()[2]
    for field, more in (
        ("stop_token_ids", {"stop_token_ids": [28723]}),
        ("bad_words", {"bad_words": [word]}),
    ):
        answer = server.client.post(OPENAI_CHAT, json={**greedy, "temperature": 0, **more})
        has = {"vllm": ("stop_token_ids", "bad_words"), "transformers": ("stop_token_ids",)}.get(engine, ())
        if field not in has:
            assert answer.status_code == 400
            assert f"'/{field}' is not supported" in answer.text
            continue
        choice = answer.json()["choices"][0]
        assert choice["finish_reason"] == "stop"
        if field == "bad_words":
            assert word not in choice["message"]["content"].split()
        else:
            assert choice["message"]["content"] == text.partition(".")[0]
    assert tokens


def test_a_token_that_a_grammar_forbids_has_a_number(server: LiveServer) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    choice = ask(server, response_format=form, logprobs=True, top_logprobs=5, max_tokens=60)
    found = [one for token in choice["logprobs"]["content"] for one in (token, *token["top_logprobs"])]
    assert all(-9999.0 <= one["logprob"] <= 0.001 for one in found)


def test_a_message_says_which_text_ended_it(server: LiveServer) -> None:
    question, answer = ENTRIES[0].ask[0], ENTRIES[0].answer
    word = answer.split()[2]
    body = {
        "model": HF,
        "max_tokens": 99,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "stop_sequences": ["never said", f" {word}"],
    }
    path = OPENAI_CHAT.replace("chat/completions", "messages")
    whole = server.client.post(path, json=body).json()
    assert (whole["stop_reason"], whole["stop_sequence"]) == ("stop_sequence", f" {word}")
    assert whole["content"][0]["text"] == answer.partition(f" {word}")[0]
    streamed = server.client.post(path, json={**body, "stream": True}).text
    assert f'"stop_reason":"stop_sequence","stop_sequence":" {word}"' in streamed
    plain = server.client.post(path, json={**body, "stop_sequences": ["never said"]}).json()
    assert (plain["stop_reason"], plain["stop_sequence"]) == ("end_turn", None)
