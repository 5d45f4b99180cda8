"""Stop texts that come in pieces: what is shown, and which of several counts."""

import pytest

from app.engines.stop_strings import StopStrings


def shown(stops: tuple[str, ...], *pieces: str) -> tuple[list[str], bool]:
    """What each piece gives, and the rest of an answer that was not stopped."""
    texts, given = StopStrings(stops), []
    for piece in pieces:
        text, stopped = texts.add(piece)
        given.append(text)
        if stopped:
            return given, True
    return [*given, texts.rest()], False


@pytest.mark.parametrize(
    ("stops", "pieces", "expected"),
    [
        ((), ("ab", "c"), (["ab", "c", ""], False)),
        (("END",), ("a E", "N", "D b"), (["a ", "", ""], True)),
        (("END",), ("a E", "N", "d b"), (["a ", "", "ENd b", ""], False)),
        (("END",), ("a EN",), (["a ", "EN"], False)),
        (("b", "abc"), ("xabcx",), (["xa"], True)),
        (("abcd", "bc"), ("xabcd",), (["xa"], True)),
        (("abc", "bc"), ("xabc",), (["x"], True)),
        (("aab",), ("aa", "ab"), (["", "a"], True)),
        (("a", "ab"), ("a",), ([""], True)),
    ],
)
def test_pieces(stops: tuple[str, ...], pieces: tuple[str, ...], expected: object) -> None:
    assert shown(stops, *pieces) == expected


@pytest.mark.parametrize(
    ("stops", "text", "found"),
    [
        (("b", "abc"), "xabc", "b"),
        (("abcd", "bc"), "xabcd", "bc"),
        (("abc", "bc"), "xabc", "abc"),
        (("z",), "a", None),
    ],
)
def test_which_one_it_was(stops: tuple[str, ...], text: str, found: str | None) -> None:
    texts = StopStrings(stops)
    texts.add(text)
    assert texts.found == found


def test_where_none_is_looked_for_none_ends() -> None:
    texts = StopStrings(("ab",))
    assert texts.add("xab", look=False) == ("xab", False)
    assert texts.add("a", look=False) == ("", False)
    assert texts.add("bc") == ("", True)
