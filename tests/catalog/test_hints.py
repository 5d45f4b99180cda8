import pytest

from app.catalog.cards import ModelCard
from app.catalog.hints import MAX_HINTS, SENT_ON_PURPOSE, hints


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("temprature", "temperature"),
        ("Temperature", "temperature"),
        ("maxTokens", "max_tokens"),
        ("max-tokens", "max_tokens"),
        ("max_token", "max_tokens"),
        ("topP", "top_p"),
        ("message", "messages"),
        ("repitition_penalty", "repetition_penalty"),
        ("steam", "stream"),
    ],
)
def test_a_typo_is_named(hf: ModelCard, name: str, meant: str) -> None:
    assert hints(hf.input.properties, {"prompt": "a", name: 1}) == [
        f"Unknown property '{name}' was ignored: did you mean '{meant}'?"
    ]


def test_what_clients_send_on_purpose_is_no_typo(hf: ModelCard, cf: ModelCard) -> None:
    for card in (hf, cf):
        assert hints(card.input.properties, dict.fromkeys(SENT_ON_PURPOSE)) == []
        for name in (
            "stop",
            "n",
            "lora",
            "model",
            "stream_options",
            "tool_choice",
            "max_completion_tokens",
            "min_tokens",
        ):
            assert hints(card.input.properties, {name: 1}) == []


def test_known_and_far_names_give_no_hint(hf: ModelCard) -> None:
    assert hints(hf.input.properties, dict.fromkeys(hf.input.properties)) == []
    assert hints(hf.input.properties, {"prompt": "a", "foo": 1, "": 2, "external_reference": 3}) == []


def test_names_sent_on_purpose_do_not_crowd_out_a_typo(hf: ModelCard) -> None:
    body = dict.fromkeys(sorted(SENT_ON_PURPOSE - hf.input.properties))
    assert len(hints(hf.input.properties, body | {"temprature": 1})) == 1


def test_hints_are_few(hf: ModelCard) -> None:
    found = hints(hf.input.properties, {f"temprature{index}": 1 for index in range(100)})
    assert len(found) == MAX_HINTS


def test_long_names_are_not_compared(hf: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("app.catalog.hints.get_close_matches")
    assert hints(hf.input.properties, {"temperature" * 100_000: 1}) == []


def test_names_are_cleaned(hf: ModelCard) -> None:
    assert hints(hf.input.properties, {"tempe\x1brature": 1}) == [
        "Unknown property 'temperature' was ignored: did you mean 'temperature'?"
    ]
