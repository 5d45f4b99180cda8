"""docs/divergences.md and docs/SECURITY.md name the test that pins each row: it must be there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    line
    for document in ("divergences.md", "SECURITY.md")
    for line in (ROOT / "docs" / document).read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| what |")
]


@pytest.mark.parametrize("row", ROWS)
def test_the_test_of_a_row_exists(row: str) -> None:
    named = re.search(r"\| `([\w/]+\.py)::(\w+)` \|$", row)
    assert named is not None, "the last column is `file::test`"
    assert f"def {named[2]}(" in (ROOT / "tests" / named[1]).read_text()
