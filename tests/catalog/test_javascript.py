from typing import Any

import pytest

from app.catalog import javascript


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (None, ("null",)),
        (True, ("boolean",)),
        ("", ("string",)),
        (5, ("number", "integer")),
        (5.0, ("number", "integer")),
        (1e308, ("number", "integer")),
        (1.5, ("number",)),
        ({}, ("object",)),
        ([], ("array", "binary")),
        ([1, "a"], ("array", "binary")),
        ([1, None, {}], ("array", "binary")),
        ([1, {}, None], ("array",)),
        ([True], ("array",)),
        ([[]], ("array",)),
    ],
)
def test_type_names(value: Any, names: tuple[str, ...]) -> None:
    assert javascript.type_names(value) == names


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (5.0, "5"),
        (-1.5, "-1.5"),
        (0.001, "0.001"),
        (0.00001, "0.00001"),
        (0.000001, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e-7, "1.5e-7"),
        (9999999999, "9999999999"),
        (2**53 + 1, "9007199254740992"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (2**64 - 1, "18446744073709552000"),
    ],
)
def test_number_text(value: float, text: str) -> None:
    assert javascript.number_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("a", "a"),
        ({}, "[object Object]"),
        ([], ""),
        ([1, None, [2, [True, []]], {}], "1,,2,true,,[object Object]"),
        ([[]], ""),
        ([[], []], ","),
    ],
)
def test_text(value: Any, text: str) -> None:
    assert javascript.text(value, 200) == text


def test_text_is_cut() -> None:
    assert len(javascript.text("a" * 1000, 200)) == 201
    assert 200 < len(javascript.text(["a"] * 1_000_000, 200)) < 300
    assert 200 < len(javascript.text([["a" * 10_000]] * 3, 200)) < 300


def test_own_keys() -> None:
    keys = ["b", "10", "2", "01", "-1", "4294967295", "4294967294", "a", "0", "1.5", "²", "9" * 5000]
    assert javascript.own_keys(dict.fromkeys(keys)) == [
        *("0", "2", "10", "4294967294"),
        *("b", "01", "-1", "4294967295", "a", "1.5", "²", "9" * 5000),
    ]


def test_utf16_length() -> None:
    assert javascript.utf16_length("aé") == 2
    assert javascript.utf16_length("\N{GRINNING FACE}") == 2
    assert javascript.utf16_length("\ud800") == 1


@pytest.mark.parametrize(
    ("value", "found"), [("a", True), (1, True), (1.0, True), (True, False), (None, False), ([], False)]
)
def test_is_among(value: Any, found: bool) -> None:
    assert javascript.is_among(value, ["a", 1, []]) is found
