"""A llamafile made around the stand-in: its GGUF is found, copied once, and refused where the archive is not right."""

import os
import shutil
import zipfile
from pathlib import Path
from typing import Protocol

import pytest

from app.engines.llamacpp.gguf.llamafile import copied_gguf, gguf_in
from app.engines.llamacpp.gguf.model import read_model
from app.errors import StartupError

PROGRAM = b"MZqFpD='\n#!/bin/sh\n" + b"\0" * 5000


class Packed(Protocol):
    def __call__(self, *names: str, compression: int = zipfile.ZIP_STORED) -> Path: ...


@pytest.fixture
def packed(gguf: Path, tmp_path: Path) -> Packed:
    """A llamafile as they are: a program, then the archive, the GGUF stored in it."""

    def make(*names: str, compression: int = zipfile.ZIP_STORED) -> Path:
        path = tmp_path / "mistral.Q4_K_M.llamafile"
        path.write_bytes(PROGRAM)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(".args", "-m\nmodel.gguf\n")
            for name in names or ("model.gguf",):
                archive.write(gguf, name, compress_type=compression)
        return path

    return make


def refusal(path: Path, cache: Path) -> str:
    with pytest.raises(StartupError) as refused:
        gguf_in(path, cache)
    assert "\n" not in str(refused.value)
    assert not list(cache.glob("*.gguf"))
    assert not list(cache.glob("*.part"))
    return str(refused.value)


def state(copy: Path) -> tuple[int, int]:
    """Another one when it was made again."""
    return copy.stat().st_mtime_ns, copy.stat().st_ino


def test_its_gguf_is_the_same(packed: Packed, gguf: Path, tmp_path: Path) -> None:
    found = gguf_in(packed(), tmp_path / "cache")
    assert found.read_bytes() == gguf.read_bytes()
    assert read_model(found).pieces == read_model(gguf).pieces


def test_it_is_copied_once(packed: Packed, tmp_path: Path) -> None:
    path = packed()
    first = gguf_in(path, tmp_path / "cache")
    before = state(first)
    second = gguf_in(path, tmp_path / "cache")
    assert second == first
    assert state(second) == before


def test_a_copy_that_lost_its_end_is_made_again(packed: Packed, gguf: Path, tmp_path: Path) -> None:
    path = packed()
    copy = gguf_in(path, tmp_path / "cache")
    copy.write_bytes(b"half")
    assert gguf_in(path, tmp_path / "cache").stat().st_size == gguf.stat().st_size


def test_whether_it_is_copied(packed: Packed, tmp_path: Path) -> None:
    path = packed()
    assert copied_gguf(path, tmp_path / "cache") is None
    copy = gguf_in(path, tmp_path / "cache")
    assert copied_gguf(path, tmp_path / "cache") == copy
    copy.write_bytes(b"half")
    assert copied_gguf(path, tmp_path / "cache") is None


def test_equal_ones_share_a_copy(packed: Packed, tmp_path: Path) -> None:
    """Wherever they lie and whenever they came; it goes with the last of them."""
    cache, path = tmp_path / "cache", packed()
    copy = gguf_in(path, cache)
    made = state(copy)
    other = tmp_path / "elsewhere" / path.name
    other.parent.mkdir()
    shutil.copyfile(path, other)
    os.utime(other, ns=(0, 0))
    for each in (other, path, other):
        assert copied_gguf(each, cache) == copy
        assert gguf_in(each, cache) == copy
        assert state(copy) == made
    path.unlink()
    third = tmp_path / "third.llamafile"
    shutil.copy(other, third)
    gguf_in(third, cache)
    assert state(copy) == made
    other.unlink()
    fourth = tmp_path / "fourth.llamafile"
    shutil.copy(third, fourth)
    gguf_in(fourth, cache)
    assert not copy.exists()


def test_one_whose_time_changed_keeps_its_copy(packed: Packed, tmp_path: Path) -> None:
    cache, path = tmp_path / "cache", packed()
    copy = gguf_in(path, cache)
    made = state(copy)
    os.utime(path, ns=(0, 0))
    assert gguf_in(path, cache) == copy
    other = tmp_path / "other.llamafile"
    shutil.copy(path, other)
    gguf_in(other, cache)
    assert state(copy) == made


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"llamafiles": 1}', '{"llamafiles": [[1, "x"]]}'])
def test_a_seal_that_is_none(packed: Packed, gguf: Path, tmp_path: Path, text: str) -> None:
    cache, path = tmp_path / "cache", packed()
    copy = gguf_in(path, cache)
    copy.with_suffix(".json").write_text(text)
    copy.write_bytes(bytes(copy.stat().st_size))
    assert copied_gguf(path, cache) is None
    assert gguf_in(path, cache).read_bytes() == gguf.read_bytes()


def test_copies_of_what_is_gone_or_changed_go(packed: Packed, tmp_path: Path) -> None:
    """But not before their room is wanted: what is served has its copy."""
    cache, path = tmp_path / "cache", packed()
    other = path.with_name("other.llamafile")
    shutil.copy(path, other)
    gone, kept = gguf_in(other, cache), gguf_in(path, cache)
    other.unlink()
    (cache / "killed.part").write_bytes(b"half")
    (cache / "killed.gguf").write_bytes(b"a copy without its seal")
    gguf_in(path, cache)
    assert gone.exists()
    third = path.with_name("third.llamafile")
    shutil.copy(path, third)
    copy = gguf_in(third, cache)
    assert set(cache.iterdir()) == {copy, kept, copy.with_suffix(".json"), kept.with_suffix(".json")}


def test_one_without_a_gguf(packed: Packed, tmp_path: Path) -> None:
    assert "it has 0 files *.gguf in it, one is wanted" in refusal(packed("model.bin"), tmp_path / "cache")


def test_one_with_two(packed: Packed, tmp_path: Path) -> None:
    assert "it has 2 files *.gguf in it" in refusal(packed("a.gguf", "b.gguf"), tmp_path / "cache")


def test_a_compressed_one(packed: Packed, tmp_path: Path) -> None:
    path = packed(compression=zipfile.ZIP_DEFLATED)
    assert "it must be stored" in refusal(path, tmp_path / "cache")


def test_one_that_is_changed_inside(packed: Packed, tmp_path: Path) -> None:
    path = packed()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    refusal(path, tmp_path / "cache")


@pytest.mark.parametrize("kept", [0, 100, 10_000, -100])
def test_one_that_is_cut_short(packed: Packed, tmp_path: Path, kept: int) -> None:
    path = packed()
    path.write_bytes(path.read_bytes()[:kept])
    assert "not a llamafile" in refusal(path, tmp_path / "cache")


def test_there_is_none(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "x.llamafile", tmp_path / "cache")


def test_a_full_disk(packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "1000 are free: make room" in refusal(packed(), tmp_path / "cache")
