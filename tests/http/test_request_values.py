import pytest

from app.errors import BadInput
from app.http.request_values import choice, flag, required, text, whole


def test_numbers() -> None:
    assert whole({}, "page", 7, 1) == 7
    assert whole({}, "page", None, 1) is None
    assert whole({"page": "1"}, "page", 7, 1) == 1
    assert whole({"page": "12.0"}, "page", None, 1) == 12


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "", "1e3", "٣", "9" * 10, "1.0.0"])
def test_numbers_that_are_none(value: str) -> None:
    with pytest.raises(BadInput, match=r"^Error: '/page' must be >= 1 and a whole number$"):
        whole({"page": value}, "page", 1, 1)


def test_flags() -> None:
    assert [flag(query, "f") for query in ({}, {"f": "true"}, {"f": "false"})] == [False, True, False]
    for value in ("", "1", "True", "yes"):
        with pytest.raises(BadInput, match=f"^Error: enum {value} not in true,false at '/f'$"):
            flag({"f": value}, "f")


def test_choices() -> None:
    assert choice({}, "format", ("a", "b")) is None
    assert choice({"format": "b"}, "format", ("a", "b")) == "b"
    with pytest.raises(BadInput, match=r"^Error: enum c not in a,b at '/format'$"):
        choice({"format": "c\x1b"}, "format", ("a", "b"))


def test_texts() -> None:
    assert [text(query, "t") for query in ({}, {"t": ""}, {"t": " a"})] == [None, None, " a"]
    assert required({"t": "a"}, "t") == "a"
    for query in ({}, {"t": ""}):
        with pytest.raises(BadInput, match=r"^Error: required properties at '/' are 't'$"):
            required(query, "t")
