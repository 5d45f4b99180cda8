import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.catalog.cards import ModelCard, TokenLimits, load_card, load_cards
from app.errors import SettingsError


def changed(card: ModelCard, tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    raw = json.loads(json.dumps(card.raw))
    change(raw)
    path = tmp_path / "card.json"
    path.write_text(json.dumps(raw))
    return path


def set_property(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda raw: raw["properties"].append({"property_id": name, "value": value})


def test_two_cards_ship(cards: dict[str, ModelCard]) -> None:
    assert {name: card.id for name, card in cards.items()} == {
        "@hf/mistral/mistral-7b-instruct-v0.2": "b97d7069-48d9-461c-80dd-445d20a632eb",
        "@cf/mistral/mistral-7b-instruct-v0.2-lora": "c58c317b-0c15-4bda-abb6-93e275f282d9",
    }


def test_older_card(hf: ModelCard) -> None:
    assert hf.limits == TokenLimits(max_input_tokens=3072, max_total_tokens=4096)
    assert hf.max_batch_prefill_tokens == 8192
    assert hf.supports_lora
    assert hf.task == "Text Generation"
    assert hf.properties["beta"] == "true"
    assert list(hf.raw) == [
        *("id", "source", "name", "description", "task", "created_at", "tags", "properties", "schema"),
    ]


def test_newer_card(cf: ModelCard) -> None:
    assert cf.limits == TokenLimits(max_input_tokens=None, max_total_tokens=15000)
    assert cf.max_batch_prefill_tokens is None
    assert cf.supports_lora
    assert [branch.name for branch in cf.input.branches] == ["prompt", "messages"]


def test_schemas_keep_the_order_of_their_properties(hf: ModelCard, cf: ModelCard) -> None:
    assert list(hf.raw["schema"]["input"]["oneOf"][0]["properties"])[:4] == [
        "prompt",
        "raw",
        "stream",
        "max_tokens",
    ]
    assert list(cf.raw["schema"]["input"]["oneOf"][0]["properties"])[:3] == [
        "prompt",
        "lora",
        "response_format",
    ]


def test_a_card_without_lora(hf: ModelCard, tmp_path: Path) -> None:
    path = changed(
        hf, tmp_path, lambda raw: raw.update(properties=[{"property_id": "context_window", "value": "8"}])
    )
    card = load_card(path)
    assert not card.supports_lora
    assert card.limits == TokenLimits(None, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.pop("name"), 'at /: "name" is a required property'),
        (lambda raw: raw.update(name="mistral"), "at /name: "),
        (lambda raw: raw["task"].update(name=5), "at /task/name: "),
        (lambda raw: raw.update(properties=[]), "properties need max_total_tokens"),
        (
            set_property("max_total_tokens", "many"),
            "property max_total_tokens must be a whole number of tokens",
        ),
        (set_property("max_total_tokens", "0"), "property max_total_tokens must be a whole number of tokens"),
        (set_property("max_batch_prefill_tokens", "-1"), "property max_batch_prefill_tokens must be"),
        (lambda raw: raw["schema"].pop("input"), 'at /schema: "input" is a required property'),
        (lambda raw: raw["schema"].update(input={"type": "object"}), "at /schema/input: "),
        (lambda raw: raw["schema"]["input"].update(type="text"), "schema is not a draft-07 JSON schema"),
        (lambda raw: raw["schema"].update(output={"type": 5}), "schema is not a draft-07 JSON schema"),
        (
            lambda raw: raw["schema"]["input"]["oneOf"][0]["properties"].update(
                x={"$ref": "#/definitions/x"}
            ),
            "schema is not a draft-07 JSON schema without $ref",
        ),
        (
            lambda raw: raw["schema"]["input"]["oneOf"][0]["properties"].update(
                x={"$ref": "http://127.0.0.1:9/x"}
            ),
            "schema is not a draft-07 JSON schema without $ref",
        ),
    ],
)
def test_a_broken_card_is_one_line(
    hf: ModelCard, tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    path = changed(hf, tmp_path, change)
    with pytest.raises(SettingsError) as refused:
        load_card(path)
    assert str(refused.value).startswith(f"{path}: {message}")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < len(str(path)) + 300


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON: line 1, column"),
        (b"\xff", "not JSON: line"),
        (b"[NaN]", "not JSON"),
        (b"[]", "at /: "),
    ],
)
def test_a_file_that_is_no_card(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        load_cards(tmp_path)
    assert str(refused.value).startswith(f"{path}: {message}")


def test_a_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read: No such file"):
        load_card(tmp_path / "card.json")
    with pytest.raises(SettingsError, match="the folder of model cards can't be read: No such file"):
        load_cards(tmp_path / "missing")
    with pytest.raises(SettingsError, match="no model card"):
        load_cards(tmp_path)


def test_two_cards_of_one_name(hf: ModelCard, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(hf.raw))
    with pytest.raises(SettingsError, match=r"b\.json: another card has the name @hf/mistral"):
        load_cards(tmp_path)


def test_two_cards_of_one_id(hf: ModelCard, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(hf.raw))
    (tmp_path / "b.json").write_text(json.dumps(hf.raw | {"name": "@hf/another/name"}))
    with pytest.raises(
        SettingsError, match=r"b\.json: another card has the name @hf/another/name or the same id"
    ):
        load_cards(tmp_path)


def test_schema_files_are_no_cards(hf: ModelCard, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(hf.raw))
    (tmp_path / "settings.schema.json").write_text("{}")
    assert list(load_cards(tmp_path)) == [hf.name]


def test_what_a_search_shows_of_a_card(hf: ModelCard, cf: ModelCard) -> None:
    assert [(card.author, card.source) for card in (hf, cf)] == [("mistral", 2), ("mistral", 1)]
    newer = replace(cf, raw={**cf.raw, "deprecated": True})
    assert list(newer.published) == [key for key in cf.raw if key != "schema"]
