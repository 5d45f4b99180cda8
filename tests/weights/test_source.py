"""The setting `weights` as a path: stand-in, folder, file, variant, and what is said where there is none."""

from pathlib import Path

import pytest

from app.errors import SettingsError, StartupError
from app.program import program
from app.settings.values import STAND_IN
from app.weights.source import Weights
from tests.hub.server import Hub
from tests.weights.conftest import Folder, Puller

REPOSITORY = "mistralai/Mistral-7B-Instruct-v0.2"


def test_the_stand_in(tmp_path: Path) -> None:
    weights = Weights(STAND_IN, tmp_path)
    assert weights.path() == weights.folder() == tmp_path / "standin"
    assert (tmp_path / "standin" / "config.json").is_file()


def test_a_folder(tmp_path: Path) -> None:
    weights = Weights(str(tmp_path), tmp_path / "data")
    assert weights.path() == weights.folder() == tmp_path


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").touch()
    assert Weights(str(tmp_path / "a.gguf"), tmp_path).path() == tmp_path / "a.gguf"


@pytest.mark.parametrize("name", ["a", "./a", "a/a.gguf"])
def test_a_relative_path_starts_where_the_command_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The server goes elsewhere before the weights are looked for."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.gguf").touch()
    monkeypatch.chdir(tmp_path)
    weights = Weights(name, tmp_path / "data")
    monkeypatch.chdir("/")
    assert weights.path() == tmp_path / name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pytorch", "none"),
        ("pytorch-8-bit", "8-bit"),
        ("pytorch-4-bit", "4-bit"),
        ("awq", "none"),
        (STAND_IN, "none"),
    ],
)
def test_quantization_while_loading(tmp_path: Path, name: str, expected: str) -> None:
    assert Weights(name, tmp_path).load_quantization() == expected


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="no folder"):
        Weights(str(tmp_path / "none"), tmp_path).path()
    (tmp_path / "folder.llamafile").mkdir()
    for name in (str(tmp_path / "none.gguf"), "models/none.gguf", str(tmp_path / "folder.llamafile")):
        with pytest.raises(
            StartupError, match=f"weights: no file {name}: set weights to a file that is there"
        ):
            Weights(name, tmp_path).path()
    with pytest.raises(StartupError, match=r"no folder awk: .*; did you mean the variant awq\?"):
        Weights("awk", tmp_path).path()


@pytest.mark.parametrize("name", ["awq", REPOSITORY])
def test_an_address_of_the_hub_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://[")
    with pytest.raises(SettingsError, match=r"HF_ENDPOINT: expected an address"):
        Weights(name, tmp_path).path()


def test_a_variant_that_is_not_pulled(puller: Puller) -> None:
    """In a process of its own, whose cache is the test's."""
    line = served(puller, "gguf-Q6_K", "llamacpp")
    assert (
        line
        == f"weights: gguf-Q6_K (5.94 GB) is not in the cache: pull it with `{program()} weights pull gguf-Q6_K`"
    )


def test_a_pulled_variant_and_its_repository(puller: Puller, hub: Hub, folder_files: Folder) -> None:
    """What is there is not the whole repository, but all that is needed of it."""
    hub.repositories[REPOSITORY] = {"main": folder_files("original")}
    place = puller.pulls("pytorch")
    for name in ("pytorch", REPOSITORY):
        line = served(puller, name, "vllm")
        assert str(place) in line
        assert "model_type" in line
    (place / "model-00002-of-00002.safetensors").unlink()
    assert "is not in the cache" in served(puller, "pytorch", "vllm")
    assert "nor in the Hugging Face cache" in served(puller, REPOSITORY, "vllm")


def served(puller: Puller, weights: str, engine: str) -> str:
    """What `outworker doctor` says about weights that can't be served."""
    settings = puller.home / "settings.toml"
    settings.parent.mkdir(exist_ok=True)
    model = 'name = "@hf/mistral/mistral-7b-instruct-v0.2"'
    settings.write_text(f'[[models]]\n{model}\nweights = "{weights}"\nengine = "{engine}"\n')
    done = puller.run("doctor", "--config", str(settings))
    assert done.returncode == 1, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if "can't start: " in line)
    return line.strip().removeprefix("can't start: ")
