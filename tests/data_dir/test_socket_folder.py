"""app/data_dir/socket_folder.py: one private folder for each data directory, which leaves nothing behind."""

import socket
from pathlib import Path

import pytest

from app.data_dir.socket_folder import SocketFolder
from app.errors import StartupError


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def test_it_is_private_empty_and_goes(tmp_path: Path) -> None:
    folder = SocketFolder.of(tmp_path / "data", tmp_path)
    folder.make()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    bound(folder.path / "left")
    folder.make()  # as after a kill -9
    assert list(folder.path.iterdir()) == []
    bound(folder.path / "left")
    folder.remove()
    folder.remove()
    assert not folder.path.exists()


def test_each_data_directory_has_its_own(tmp_path: Path) -> None:
    names = {SocketFolder.of(tmp_path / name).path for name in ("one", "two", "three/../one")}
    assert len(names) == 2


def test_a_socket_in_it_may_be_named_whatever_the_data_directory_is(tmp_path: Path) -> None:
    path = SocketFolder.of(tmp_path / ("x" * 200) / ("y" * 200)).path
    assert len(str(path)) + len("/12345678-1234-1234-1234-123456789012") < 107


def test_a_link_or_a_file_of_its_name_is_not_used(tmp_path: Path) -> None:
    folder = SocketFolder.of(tmp_path / "data", tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("")
    folder.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartupError, match=str(folder.path)):
        folder.make()
    assert (tmp_path / "elsewhere" / "kept").exists()
    folder.path.unlink()
    folder.path.write_text("")
    with pytest.raises(StartupError, match=str(folder.path)):
        folder.make()
