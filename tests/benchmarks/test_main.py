from io import StringIO
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from benchmarks import validate
from benchmarks.__main__ import main
from benchmarks.report import Part, save, show

PART = Part("front", "Front end", ("per", "us"), [("request", "1.0")], ["A note."], [{"us": 1.0}])


def test_an_unknown_part_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fronts"]) == 2
    parts = "validate, front, upload, engine, start, settings, engines, full, light, grammar"
    assert capsys.readouterr().err == f"benchmarks: no part 'fronts': choose from {parts}\n"


def test_a_part_is_a_table_and_its_notes() -> None:
    shown = StringIO()
    console = Console(file=shown, width=80)
    show(PART, console)
    text = shown.getvalue()
    assert "Front end" in text
    assert "request" in text
    assert "A note." in text


def test_results_hold_the_samples_and_the_machine(tmp_path: Path) -> None:
    content = orjson.loads(save([PART], tmp_path).read_bytes())
    assert content["parts"][0]["samples"] == [{"us": 1.0}]
    assert content["machine"]["cores"] >= 1
    assert content["machine"]["packages"]["orjson"] == orjson.__version__


@pytest.mark.parametrize("name", validate.bodies())
def test_the_measured_bodies_are_valid(name: str) -> None:
    from app.catalog.cards import load_cards
    from app.settings import CHECKOUT

    for card in load_cards(CHECKOUT / "schemas").values():
        card.input.check(validate.bodies()[name])
