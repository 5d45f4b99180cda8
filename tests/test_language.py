"""Texts that a user reads are plain English: not "is no folder", nor words that English does not have."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
FILES = sorted(
    path for part in ("app", "requirements", "benchmarks") for path in (CHECKOUT / part).rglob("*.py")
)
WORST = re.compile(
    r"\b(?:is|are|was|were) (?:no|none)\b(?! (?:longer|more)\b)|\bbegins? of\b|\bcatalogues?\b|\bcolour|\blicence\b",
    re.IGNORECASE,
)
"""What stands for "is not a", and what is spelled otherwise in American English."""


def body_of(node: ast.AST) -> list[ast.stmt]:
    """A lambda's body is an expression."""
    body = getattr(node, "body", None)
    return body if isinstance(body, list) else []


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Strings that are not docstrings, with their lines. The parts of an f-string are strings of their own."""
    prose = {
        id(statement.value)
        for node in ast.walk(tree)
        for statement in body_of(node)
        if isinstance(statement, ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_no_text_has_the_worst_patterns(path: Path) -> None:
    found = [
        f"{path.relative_to(CHECKOUT)}:{line}: {text.strip()[:80]!r}"
        for line, text in texts(ast.parse(path.read_text()))
        if WORST.search(text)
    ]
    assert found == []


def test_the_patterns_are_found() -> None:
    for bad in ("/x: is no folder", "these are no URLs", "it was none", "at the begin of it", "the licence"):
        assert WORST.search(bad), bad
    for good in ("it is no longer there", "is not a folder", "the beginning of it", "there are not any"):
        assert not WORST.search(good), good
