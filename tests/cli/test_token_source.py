"""app/cli/token_source.py: no token need stand on a command line, and one that does is warned of."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.token_source import asked_token, given_token
from app.errors import OperatorError
from tests.live.server import CHECKOUT


def test_one_on_the_command_line_is_taken_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert given_token("ow_secret", None) == "ow_secret"
    said = capsys.readouterr()
    assert said.out == ""
    assert "--token-file" in said.err
    assert "ow_secret" not in said.err
    assert len(said.err.splitlines()) == 1


def test_one_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "token").write_text("ow_secret\n")
    assert given_token(None, tmp_path / "token") == "ow_secret"
    assert given_token(None, None) is None
    assert capsys.readouterr().err == ""


def test_one_of_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ow_secret\n")))
    assert given_token(None, Path("-")) == "ow_secret"


def test_both_or_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="give one of them"):
        given_token("ow_secret", tmp_path)
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(OperatorError, match=f"--token-file {path}") as refused:
            given_token(None, path)
        assert "\n" not in str(refused.value)


def test_nobody_is_asked_where_nobody_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("ow_secret"))
    with pytest.raises(OperatorError, match="--token-file"):
        asked_token("http://h/client/v4")


def test_who_sits_at_a_terminal_is_asked_and_nothing_is_shown(tmp_path: Path) -> None:
    """On a real one. Nothing listens there, which is said after the token was taken."""
    environment = {**os.environ, "OUTWORKER_DATA_DIR": str(tmp_path), "TERM": "dumb"}
    environment.pop("CLOUDFLARE_API_TOKEN", None)
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "app.cli.main", "adapter", "list", "--url", "http://127.0.0.1:1"]
    asking = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    said = b""
    while b"(not shown): " not in said:
        said += os.read(controller, 1000)
    os.write(controller, b"ow_secret\n")
    try:
        while piece := os.read(controller, 1000):
            said += piece
    except OSError:  # the terminal's other end is closed
        pass
    os.close(controller)
    assert asking.wait(30) == 2
    assert b"can't connect" in said
    assert b"ow_secret" not in said
