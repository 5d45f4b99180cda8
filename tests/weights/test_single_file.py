"""The folder beside weights that are one file: made once, whole or not at all, anew for another file."""

from pathlib import Path

import pytest

from app.errors import StartupError
from app.weights import single_file
from app.weights.single_file import is_model_file, sidecar_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"weights")
    return path


class Maker:
    """Writes what a file's metadata would give, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, file: Path, folder: Path) -> None:
        self.asked += 1
        (folder / "config.json").write_bytes(file.read_bytes())


def test_it_is_made_once(file: Path, tmp_path: Path) -> None:
    make = Maker()
    folder = sidecar_of(file, tmp_path / "data", make)
    assert (folder / "config.json").read_bytes() == b"weights"
    assert sidecar_of(file, tmp_path / "data", make) == folder
    assert make.asked == 1


def test_another_file_of_the_name_gets_another(file: Path, tmp_path: Path) -> None:
    make = Maker()
    old = sidecar_of(file, tmp_path / "data", make)
    file.write_bytes(b"others")
    new = sidecar_of(file, tmp_path / "data", make)
    assert new != old
    assert (new / "config.json").read_bytes() == b"others"


def test_a_link_of_the_cache_is_its_file(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.gguf"
    link.symlink_to(file)
    make = Maker()
    assert sidecar_of(link, tmp_path / "data", make) == sidecar_of(file, tmp_path / "data", make)


def test_a_file_that_is_refused_leaves_nothing(file: Path, tmp_path: Path) -> None:
    def refuse(file: Path, folder: Path) -> None:
        (folder / "config.json").write_text("half")
        raise StartupError("another vocabulary")

    for _ in range(2):
        with pytest.raises(StartupError, match="another vocabulary"):
            sidecar_of(file, tmp_path / "data", refuse)
    assert list((tmp_path / "data" / "sidecars").iterdir()) == []


def test_another_version_makes_it_anew(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    old = sidecar_of(file, tmp_path / "data", make)
    monkeypatch.setattr(single_file, "SIDECAR_VERSION", single_file.SIDECAR_VERSION + 1)
    assert sidecar_of(file, tmp_path / "data", make) != old


def test_what_a_killed_process_left_goes(file: Path, tmp_path: Path) -> None:
    left = tmp_path / "data" / "sidecars" / ".abc"
    left.mkdir(parents=True)
    (left / "config.json").write_text("half")
    folder = sidecar_of(file, tmp_path / "data", Maker())
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("name", "expected"), [("a.gguf", True), ("b.gguf", False), ("A.LLAMAFILE", True), ("c", False)]
)
def test_which_files_are_models(tmp_path: Path, name: str, expected: bool) -> None:
    for there in ("a.gguf", "A.LLAMAFILE", "c"):
        (tmp_path / there).touch()
    assert is_model_file(tmp_path / name) is expected
