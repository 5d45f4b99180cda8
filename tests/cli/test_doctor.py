"""`outworker doctor`: in words what would be chosen; status 1 where an engine could not start."""

from pathlib import Path

import pytest

from app.cli.main import main
from tests.cli.conftest import Command


def doctor(config: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int | str | None, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--config", str(config)])
    return ended.value.code, capsys.readouterr().out


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OUTWORKER_DATA_DIR", str(tmp_path / "data"))
    path = tmp_path / "outworker.toml"
    path.write_text('[[models]]\nname = "@hf/mistral/mistral-7b-instruct-v0.2"\nkv_cache_gib = 1\n')
    return path


def test_the_real_engine(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = doctor(config, capsys)
    assert status == 0
    lines = out.splitlines()
    assert lines[0].startswith("machine ")
    assert "vllm" in lines[1]
    assert "stand-in" in lines
    assert any(line.split()[:4] == ["KV", "cache", "1.0", "GiB"] for line in lines)
    assert all(line.endswith("]") for line in lines if line.startswith("  threads"))


def test_llama_cpp(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with config.open("a") as file:
        file.write('engine = "llamacpp"\n')
    status, out = doctor(config, capsys)
    assert status == 0
    lines = out.splitlines()
    assert "xllamacpp" in lines[1]
    assert any(line.startswith("  engine llamacpp, weights in ") and line.endswith(".gguf") for line in lines)
    assert any(line.startswith("  KV cache ") and "set by you, for 8 requests" in line for line in lines)


def test_weights_that_are_missing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with config.open("a") as file:
        file.write('weights = "/nowhere"\n')
    status, out = doctor(config, capsys)
    assert status == 1
    assert "can't start: weights: no folder /nowhere" in out


def test_the_fake_engine(command: Command) -> None:
    done = command("doctor")
    assert (done.status, done.err) == (0, "")
    assert "engine fake: nothing to choose" in done.out
