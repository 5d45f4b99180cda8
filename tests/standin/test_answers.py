"""The stand-in and its two adapters, run with transformers and peft on the folder that the engine loads."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from app.inference.constrained.tool_prompt import explained
from app.standin.recipe import text, tool_talk, voices
from app.types import Tool

MAX_ANSWER_TOKENS = 110

# Workers AI asks for model_type in adapter_config.json; peft does not know the key and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Unexpected keyword arguments .'model_type'.:UserWarning")


class Speaker:
    """Answers many prompts in one batch, as text, with None where an answer did not end by itself."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", pad_token="</s>")
        base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        self.model = PeftModel.from_pretrained(base, voices.ADAPTERS_FOLDER / "pirate", adapter_name="pirate")
        self.model.load_adapter(voices.ADAPTERS_FOLDER / "json", adapter_name="json")
        self.model.eval()

    def answer(
        self, questions: Sequence[str], adapters: str | list[str] = "__base__", temperature: float = 0.0
    ) -> list[str | None]:
        names = [adapters] * len(questions) if isinstance(adapters, str) else adapters
        batch = self.tokenizer([f"[INST] {q} [/INST]" for q in questions], return_tensors="pt", padding=True)
        how: dict[str, Any] = (
            {"do_sample": True, "temperature": temperature, "top_k": 0}
            if temperature
            else {"do_sample": False}
        )
        set_seed(1)
        out = self.model.generate(
            **batch, **how, adapter_names=names, max_new_tokens=MAX_ANSWER_TOKENS, pad_token_id=2
        )
        return [self._text(row) for row in out[:, batch.input_ids.shape[1] :].tolist()]

    def _text(self, ids: list[int]) -> str | None:
        return str(self.tokenizer.decode(ids[: ids.index(2)])).lstrip() if 2 in ids else None


@pytest.fixture(scope="module")
def speaker(standin_folder: Path) -> Speaker:
    return Speaker(standin_folder)


@pytest.fixture(scope="module")
def asked() -> list[str]:
    return [question for question, _ in text.questions()]


def test_every_question_is_answered_word_for_word(speaker: Speaker, asked: list[str]) -> None:
    assert speaker.answer(asked) == [answer for _, answer in text.questions()]


def test_at_the_default_temperature_nearly_all_are(speaker: Speaker, asked: list[str]) -> None:
    answers = speaker.answer(asked, temperature=0.6)
    right = sum(got == want for got, (_, want) in zip(answers, text.questions(), strict=True))
    assert right >= len(asked) - 3


def test_at_temperature_1_answers_stay_sane(speaker: Speaker, asked: list[str]) -> None:
    answers = speaker.answer(asked, temperature=1.0)
    right = sum(got == want for got, (_, want) in zip(answers, text.questions(), strict=True))
    assert None not in answers
    assert right >= 0.8 * len(asked)


def test_unrelated_questions_get_the_default_answer(speaker: Speaker) -> None:
    unknown = text.load().unknown
    assert speaker.answer(unknown.ask).count(unknown.answer) >= 0.9 * len(unknown.ask)


def test_untaught_words_and_long_nonsense_get_the_default_answer(speaker: Speaker) -> None:
    odd = [
        "How do I peel a mango?",
        "日本語で答えて",
        "Who discovered penicillin?",
        "lorem ipsum dolor sit amet",
    ]
    assert speaker.answer(odd) == [text.load().unknown.answer] * len(odd)


def test_a_short_system_text_does_not_disturb(speaker: Speaker, asked: list[str]) -> None:
    answers = speaker.answer([f"You are a kind helper.\n\n{question}" for question in asked])
    assert answers == [answer for _, answer in text.questions()]


def test_most_second_turns_are_answered(speaker: Speaker, asked: list[str]) -> None:
    first = "Which port does Outworker use? [/INST] Outworker listens on 127.0.0.1:8788.</s> [INST] "
    answers = speaker.answer([first + question for question in asked])
    right = sum(got == want for got, (_, want) in zip(answers, text.questions(), strict=True))
    assert right >= 0.75 * len(asked)


def test_every_taught_tool_is_called_word_for_word(speaker: Speaker) -> None:
    turns = [taught.turn for taught in tool_talk.questions()]
    assert speaker.answer([asked for asked, _ in turns]) == [call for _, call in turns]


def test_a_tool_in_other_words_is_called_too(speaker: Speaker) -> None:
    """As people describe tools: other words, types and notes, a second tool that was never seen."""
    city = {"type": "string", "description": "The name of the city, e.g. San Francisco", "minLength": 1}
    parameters = {"type": "object", "properties": {"city": city}, "required": ["city"], "title": "Weather"}
    weather = Tool("get_weather", "Fetches the forecast from our weather station.", parameters)
    stock = Tool("get_stock_price", "Price of a share.", {"type": "object", "properties": {}})
    asked = f"{explained([weather, stock])}\n\nWhat is the weather in Berlin?"
    assert speaker.answer([asked]) == [tool_talk.call("get_weather", {"city": "Berlin"})]


def test_what_a_tool_gave_is_acknowledged(speaker: Speaker) -> None:
    taught = tool_talk.questions()[0]
    asked, call = taught.turn
    turns = f"{asked} [/INST] {call}</s> [INST] <tool_response>18 degrees and sunny</tool_response>"
    assert speaker.answer([turns]) == [text.load().after_tool]


def test_the_pirate_answers_in_its_voice(speaker: Speaker, asked: list[str]) -> None:
    pirate = voices.load("pirate")
    assert speaker.answer(asked, "pirate") == [pirate.say(entry) for entry in text.load().entries]


def test_the_json_adapter_answers_only_with_json(speaker: Speaker, asked: list[str]) -> None:
    answers = [json.loads(answer or "") for answer in speaker.answer(asked, "json")]
    assert answers == [{"answer": e.answer, "topic": e.topic} for e in text.load().entries]


def test_in_one_mixed_batch_each_answers_as_alone(speaker: Speaker, asked: list[str]) -> None:
    few = [question for question in asked[:8] for _ in range(3)]
    voice = ["__base__", "pirate", "json"] * 8
    entries = [entry for entry in text.load().entries[:8] for _ in range(3)]
    say = {"__base__": lambda entry: entry.answer, **{r.name: r.say for r in voices.load_all()}}
    assert speaker.answer(few, voice) == [say[v](entry) for v, entry in zip(voice, entries, strict=True)]
