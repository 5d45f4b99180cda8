"""The data: it follows its schema, its own rules, and says what the cards say; broken data is refused in one line."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from app.engines.checkpoint import LEFT_OUT, REPOSITORY_FILES
from app.errors import SettingsError
from app.program import program
from app.weights.variants import (
    FOLDER,
    SCHEMA_FILE,
    Variant,
    find_variant,
    load_catalogues,
    named_variant,
    original_of,
    variant_ids,
)
from tests.weights.figures import DATA, with_figures

CATALOGUES = load_catalogues()
VARIANTS = CATALOGUES[0].variants
GGUF_WORDS = [
    "Q2_K",
    "Q3_K_S",
    "Q3_K_M",
    "Q3_K_L",
    "Q4_0",
    "Q4_K_S",
    "Q4_K_M",
    "Q5_0",
    "Q5_K_S",
    "Q5_K_M",
    "Q6_K",
    "Q8_0",
]


def of_format(name: str) -> list[Variant]:
    return [variant for variant in VARIANTS if variant.format == name]


class TestData:
    def test_follows_its_schema(self) -> None:
        schema = json.loads((FOLDER / SCHEMA_FILE).read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema).validate(json.loads(DATA.read_text()))

    def test_has_every_form_of_the_cards(self) -> None:
        words = {name: [v.quantization for v in of_format(name)] for name in ("pytorch", "awq", "ggufv2")}
        assert words == {"pytorch": ["none", "8-bit", "4-bit"], "awq": ["Int4"], "ggufv2": GGUF_WORDS}
        assert [v.quantization for v in of_format("llamafile")] == GGUF_WORDS
        assert len(of_format("gptq")) == 6
        assert len(VARIANTS) == 34

    def test_gptq_branches(self) -> None:
        """As the table of the GPTQ card: branch, bits, group size, size in GB."""
        rows = {(v.hubs[0].revision, v.bits, v.group_size, v.size_gb) for v in of_format("gptq")}
        assert rows == {
            ("main", 4, 128, 4.16),
            ("gptq-4bit-32g-actorder_True", 4, 32, 4.57),
            ("gptq-8bit--1g-actorder_True", 8, None, 7.52),
            ("gptq-8bit-128g-actorder_True", 8, 128, 7.68),
            ("gptq-8bit-32g-actorder_True", 8, 32, 8.17),
            ("gptq-4bit-64g-actorder_True", 4, 64, 4.29),
        }
        assert all(v.act_order for v in of_format("gptq"))

    def test_llamafiles(self) -> None:
        """Sizes as in the table of the llamafile card; the GGUF files hold the same."""
        sizes = [v.size_gb for v in of_format("llamafile")]
        assert sizes == [3.08, 3.16, 3.52, 3.82, 4.11, 4.14, 4.37, 5.00, 5.00, 5.13, 5.94, 7.70]
        assert [v.size_gb for v in of_format("ggufv2")] == sizes
        assert [v.engines for v in of_format("ggufv2")] == [v.engines for v in of_format("llamafile")]

    def test_memory_is_what_the_engines_demand(self) -> None:
        """So what is said to fit starts, and what is said not to would be refused."""
        text = DATA.read_text()
        assert with_figures(text) == text, (
            "run `python -m tests.weights.figures`, then `… tests.weights.tables`"
        )

    def test_llama_cpp_is_never_said_to_need_less_than_its_card_says(self) -> None:
        cards = [v.max_ram_gb for v in of_format("llamafile")]
        assert cards == [5.58, 5.66, 6.02, 6.32, 6.61, 6.64, 6.87, 7.50, 7.50, 7.63, 8.44, 10.20]
        for variant, most in zip(of_format("llamafile"), cards, strict=True):
            assert most is not None
            assert variant.engines[0].memory_gb >= most

    def test_sizes_that_are_derived_follow_the_stated_rules(self) -> None:
        by_id = {variant.id: variant for variant in VARIANTS}
        assert {v.size_gb for v in of_format("pytorch")} == {round(7.70 / 34 * 32 * 2, 2)}
        assert by_id["awq"].size_gb == by_id["gptq-main"].size_gb

    def test_hubs(self) -> None:
        hubs = {(v.format, copy.hub, copy.repository) for v in VARIANTS for copy in v.hubs}
        assert hubs == {
            ("pytorch", "huggingface", "mistralai/Mistral-7B-Instruct-v0.2"),
            ("pytorch", "modelscope", "AI-ModelScope/Mistral-7B-Instruct-v0.2"),
            ("gptq", "huggingface", "TheBloke/Mistral-7B-Instruct-v0.2-GPTQ"),
            ("awq", "huggingface", "TheBloke/Mistral-7B-Instruct-v0.2-AWQ"),
            ("ggufv2", "huggingface", "TheBloke/Mistral-7B-Instruct-v0.2-GGUF"),
            ("ggufv2", "modelscope", "Xorbits/Mistral-7B-Instruct-v0.2-GGUF"),
            ("llamafile", "huggingface", "jartine/Mistral-7B-Instruct-v0.2-llamafile"),
        }

    def test_folders_are_what_a_repository_given_by_name_is(self) -> None:
        copies = [copy for v in VARIANTS for copy in v.hubs if copy.single_file is None]
        assert {copy.files for copy in copies} == {REPOSITORY_FILES}
        assert {copy.leave_out for copy in copies} == {(), (LEFT_OUT,)}

    def test_words_mean_one_variant(self) -> None:
        words = [(v.format, v.quantization.casefold()) for v in VARIANTS]
        assert len(set(words)) == len(words)


class TestLookup:
    def test_by_id(self) -> None:
        variant = find_variant(CATALOGUES, "gguf-Q4_K_M")
        assert variant is not None
        assert variant.hubs[0].single_file == "mistral-7b-instruct-v0.2.Q4_K_M.gguf"
        assert named_variant(CATALOGUES, "gguf-Q4_K_M") is variant
        assert find_variant(CATALOGUES, "gguf-Q4_K_X") is None

    def test_an_unknown_id(self) -> None:
        with pytest.raises(
            SettingsError, match=rf"no variant awk; did you mean awq\?: `{program()} weights list`"
        ):
            named_variant(CATALOGUES, "awk")

    def test_an_engine_that_does_not_run_it(self) -> None:
        variant = named_variant(CATALOGUES, "awq")
        assert variant.run("llamacpp") is None
        assert variant.hubs[0].single_file is None


class TestOriginal:
    """What fits one form of a model fits them all."""

    @pytest.mark.parametrize(
        "weights",
        [*(variant.id for variant in VARIANTS), "TheBloke/Mistral-7B-Instruct-v0.2-GPTQ"],
    )
    def test_of_a_form(self, weights: str) -> None:
        assert original_of(CATALOGUES, weights) == "mistralai/Mistral-7B-Instruct-v0.2"

    @pytest.mark.parametrize("weights", ["stand-in", "/models/mistral", "a.gguf", "someone/else"])
    def test_of_anything_else(self, weights: str) -> None:
        assert original_of(CATALOGUES, weights) == weights


class TestBrokenData:
    @pytest.fixture
    def raw(self) -> dict[str, Any]:
        return dict(json.loads(DATA.read_text()))

    def refusal(self, folder: Path, text: str) -> str:
        (folder / SCHEMA_FILE).write_text((FOLDER / SCHEMA_FILE).read_text())
        (folder / "mine.json").write_text(text)
        with pytest.raises(SettingsError) as caught:
            load_catalogues(folder)
        line = str(caught.value)
        assert str(folder) in line
        assert "\n" not in line
        return line

    def test_not_json(self, tmp_path: Path) -> None:
        assert "not JSON: line 1" in self.refusal(tmp_path, "{")

    def test_a_wrong_value(self, tmp_path: Path, raw: dict[str, Any]) -> None:
        raw["variants"][3]["size_gb"] = -1
        assert "at /variants/3/size_gb" in self.refusal(tmp_path, json.dumps(raw))

    def test_an_unknown_key(self, tmp_path: Path, raw: dict[str, Any]) -> None:
        raw["variants"][0]["colour"] = "blue"
        assert "at /variants/0: " in self.refusal(tmp_path, json.dumps(raw))

    def test_a_preference_that_forgets_one(self, tmp_path: Path, raw: dict[str, Any]) -> None:
        raw["preference"]["gpu"].remove("awq")
        line = self.refusal(tmp_path, json.dumps(raw))
        assert "preference.gpu must name each variant once: look at awq" in line

    def test_two_of_one_id(self, tmp_path: Path, raw: dict[str, Any]) -> None:
        (tmp_path / "first.json").write_text(json.dumps(raw))
        assert "two variants have the id pytorch" in self.refusal(tmp_path, json.dumps(raw))

    def test_a_file_of_ones_own_is_one_more_catalogue(self, tmp_path: Path, raw: dict[str, Any]) -> None:
        variant = {**raw["variants"][0], "id": "mine"}
        document = {**raw, "preference": {"gpu": ["mine"], "cpu": ["mine"]}, "variants": [variant]}
        (tmp_path / SCHEMA_FILE).write_text((FOLDER / SCHEMA_FILE).read_text())
        (tmp_path / "mine.json").write_text(json.dumps(document))
        assert named_variant(load_catalogues(tmp_path), "mine").note == variant["note"]


@pytest.mark.parametrize("variant", CATALOGUES[0].variants, ids=lambda variant: variant.id)
def test_a_person_may_type_it_in_any_case(variant: Variant) -> None:
    for typed in (variant.id, variant.id.lower(), variant.id.upper(), f" {variant.id} "):
        assert named_variant(CATALOGUES, typed) is variant


def test_no_two_ids_differ_in_case_alone() -> None:
    ids = variant_ids(CATALOGUES)
    assert len({name.casefold() for name in ids}) == len(ids)
