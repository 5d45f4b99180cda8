"""The floors of app/: an import goes down only, so a part can be read with nothing above it in mind."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

APP = Path(__file__).parents[1] / "app"
FLOORS = [
    {"errors", "types", "files", "logs", "program"},
    {"names", "concurrency", "constrained"},
    {"settings", "database"},
    {"data_dir"},
    {"catalog", "adapters", "accounts", "engines"},
    {"inference"},
    {"http", "web"},
    {"standin"},
    {"weights", "plan", "backup"},
    {"server"},
    {"cli"},
]
HEIGHT = {part: height for height, floor in enumerate(FLOORS) for part in floor}
SIDEWAYS = {("http", "engines"), ("engines", "http"), ("engines", "catalog"), ("catalog", "http")}


def imports(path: Path) -> Iterator[str]:
    """The parts of app/ that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name.split(".")[1] for name in names if name.startswith("app."))


FILES = sorted(path for path in APP.rglob("*.py") if path != APP / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(APP)))
def test_imports_go_down(path: Path) -> None:
    part = path.relative_to(APP).parts[0].removesuffix(".py")
    for other in imports(path):
        assert other == part or HEIGHT[other] < HEIGHT[part], f"{part} imports {other}"
        assert (part, other) not in SIDEWAYS
