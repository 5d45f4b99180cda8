"""The floors of app/: imports go down only, in no circle, so a part can be read with nothing above it in mind."""

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
APP = CHECKOUT / "app"
FLOORS = [
    {"errors", "types", "files", "logs", "program", "resources", "engines/registry"},
    {"names", "concurrency", "json_grammar", "model_files"},
    {"settings", "database"},
    {"data_dir"},
    {"catalog", "adapters", "accounts", "engines"},
    {"inference"},
    {"http", "web"},
    {"standin"},
    {"weights", "backup"},
    {"server"},
    {"cli"},
]
"""Loose files and folders, and files of a folder that stand on a lower floor than it."""
HEIGHT = {part: height for height, floor in enumerate(FLOORS) for part in floor}
SIDEWAYS = {("http", "engines"), ("engines", "http"), ("engines", "catalog"), ("catalog", "http")}
FILES = {path.relative_to(APP).with_suffix("").as_posix(): path for path in sorted(APP.rglob("*.py"))}


def imports(path: Path) -> Iterator[str]:
    """The files of app/ that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            file = name.removeprefix("app.").replace(".", "/")
            if name.startswith("app.") and file in FILES:
                yield file
            elif name.startswith("app.") and f"{file}/__init__" in FILES:
                yield f"{file}/__init__"


HOUSE = {file: {other for other in imports(path) if other != file} for file, path in FILES.items()}


def part_of(file: str) -> str:
    return file if file in HEIGHT else file.split("/", maxsplit=1)[0]


@pytest.mark.parametrize("file", HOUSE)
def test_imports_go_down(file: str) -> None:
    part = part_of(file)
    for other in map(part_of, HOUSE[file]):
        assert other == part or HEIGHT[other] < HEIGHT[part], f"{file} imports {other}"
        assert (part, other) not in SIDEWAYS


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_files_are_in_no_circle() -> None:
    assert circle(HOUSE) == []


def test_folders_are_in_no_circle() -> None:
    folders: dict[str, set[str]] = {}
    for file, others in HOUSE.items():
        if file in HEIGHT or file.endswith("__init__"):
            continue
        folder = file.rpartition("/")[0]
        beside = {other.rpartition("/")[0] for other in others if other not in HEIGHT}
        folders.setdefault(folder, set()).update(beside - {folder})
    assert circle(folders) == []


def test_few_files_are_loose() -> None:
    assert len(list(APP.glob("[!_]*.py"))) <= 8


def test_one_file_finds_what_comes_with_the_code() -> None:
    """A path from a module's own place is right in a checkout or in a wheel, seldom in both."""
    upwards = re.compile(r"__file__.*(?:parents\[|\.parent\.parent)")
    assert [file for file, path in FILES.items() if upwards.search(path.read_text())] == ["resources"]
    named = {file for file, path in FILES.items() if re.search(r"\bCHECKOUT\b", path.read_text())}
    assert named == {"resources", "settings/__init__", "standin/recipe/voices"}


def test_the_page_on_architecture_names_files_that_are_there() -> None:
    page = (CHECKOUT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py)?)`", page))
    assert len(named) > 30
    assert [
        name for name in sorted(named) if not any((root / name).exists() for root in (APP, CHECKOUT))
    ] == []
