"""app/inference/constrained/schema_limits.py."""

from typing import Any

import orjson
import pytest

from app.inference.constrained.schema_limits import nests_deeper_than


@pytest.mark.parametrize(
    ("value", "levels"),
    [
        (1, 0),
        ("[[", 0),
        (None, 0),
        ({}, 1),
        ([], 1),
        ({"a": 1}, 1),
        ({"a": {}}, 2),
        ([[], 1], 2),
        ([{"a": [1]}], 3),
    ],
)
def test_levels(value: Any, levels: int) -> None:
    assert not nests_deeper_than(value, levels)
    assert levels == 0 or nests_deeper_than(value, levels - 1)


def test_no_recursion() -> None:
    assert nests_deeper_than(orjson.loads("[" * 1000 + "]" * 1000), 999)
    assert not nests_deeper_than(orjson.loads("[" * 1000 + "]" * 1000), 1000)
