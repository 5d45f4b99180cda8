import json
from collections import Counter
from pathlib import Path

import pytest

from app.standin.recipe import text, voices


def test_there_are_enough_questions_each_asked_in_several_ways() -> None:
    entries = text.load().entries
    assert len(entries) >= 45
    assert min(len(entry.ask) for entry in entries) >= 3


def test_no_question_has_two_answers() -> None:
    corpus = text.load()
    asked = Counter(ask.lower() for entry in (*corpus.entries, corpus.unknown) for ask in entry.ask)
    assert [ask for ask, count in asked.items() if count > 1 and ask not in {"hello", "hi"}] == []


def test_answers_are_one_to_three_sentences() -> None:
    for _, answer in text.questions():
        assert answer.endswith((".", "!", "?"))
        assert sum(answer.count(end) for end in (". ", "! ", "? ")) <= 2


def test_questions_are_the_first_of_each_entry() -> None:
    assert ("What is the default of max_tokens?", "The default of max_tokens is 256.") in text.questions()
    assert len(text.questions()) == len(text.load().entries)


def test_the_pirate_says_the_same_in_other_words() -> None:
    entry = text.Entry("start", "Yes. The server is on your machine.", ("?",))
    assert voices.load("pirate").say(entry) == "Arr! Aye. The ship be on yer vessel. Yo ho ho, matey!"


def test_the_pirate_leaves_parts_of_words_alone() -> None:
    entry = text.Entry("start", "This isolated list keeps observers.", ("?",))
    assert voices.load("pirate").say(entry) == "Arr! This isolated list keeps observers. Yo ho ho, matey!"


def test_json_answers_hold_answer_and_topic() -> None:
    for entry in text.load().entries:
        assert json.loads(voices.load("json").say(entry)) == {"answer": entry.answer, "topic": entry.topic}


def test_a_recipe_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    recipe = (voices.ADAPTERS_FOLDER / "json.toml").read_text(encoding="utf-8")
    (tmp_path / "odd.toml").write_text(recipe + "colour = 'red'\n")
    with pytest.raises(TypeError, match="colour"):
        voices.load("odd", tmp_path)


def test_answers_in_json_are_written_as_json_is() -> None:
    taught = dict(text.json_questions())
    assert all(json.dumps(json.loads(answer)) == answer for answer in taught.values())
