"""docs/weights.md has the data's tables, every word of xinference and no variant that there is not."""

import re

from app.weights.variants import load_catalogues
from tests.weights.tables import BLOCK, PAGE, TABLES, with_tables


def test_the_tables_are_the_data() -> None:
    page = PAGE.read_text()
    assert with_tables(page) == page, "run `python -m tests.weights.tables`"
    assert [name for _, name, _ in BLOCK.findall(page)] == ["folders", "files", "hubs", "rules"]
    assert set(TABLES) == {"folders", "files", "hubs", "rules"}


def test_every_variant_is_there_and_no_other() -> None:
    ids = {variant.id for each in load_catalogues() for variant in each.variants}
    page = PAGE.read_text()
    rows = {
        name
        for line in page.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([^`]+)`", line)
    }
    assert ids <= rows
    pulled = set(re.findall(r"weights (?:pull|show) ([a-zA-Z0-9_.-]+)", page))
    assert pulled - {"VARIANT"} <= ids
