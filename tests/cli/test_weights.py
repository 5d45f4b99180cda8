"""`outworker weights list | show`: what is printed."""

import sys
from pathlib import Path

import pytest

from app.cli.main import main
from app.weights.machine import Machine
from app.weights.variants import load_catalogues
from tests.weights.machines import machine


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["weights", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_list_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "list")
    assert out.startswith("memory ")
    rows = [line.split() for line in out.splitlines() if line]
    head = next(index for index, row in enumerate(rows) if row[0] == "variant")
    variants = load_catalogues()[0].variants
    table = rows[head + 1 : head + 1 + len(variants)]
    assert [row[:3] for row in table] == [[v.id, v.format, v.quantization] for v in variants]
    assert all(f"{v.size_gb:.2f}" in row for v, row in zip(variants, table, strict=True))
    assert [row[0] for row in rows[head + 1 + len(variants) :]] == ["best", "more"]


def test_a_narrow_terminal_has_what_matters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names whole, to be copied, and whether it fits."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("app.cli.weights.measure_for", lambda catalogues, data_dir: machine(memory_gb=3))
    lines = said(capsys, "list").splitlines()
    assert [line for line in lines[6:-2] if len(line) > 80] == []
    assert {variant.id for variant in load_catalogues()[0].variants} <= {
        line.partition(" ")[0] for line in lines
    }
    assert lines[-2] == "best     none fits"


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "show", "gptq-main").splitlines()
    assert "weights      4 bits, groups of 128, act order" in lines
    assert "disk         4.16 GB (published)" in lines
    assert any(
        line.startswith("huggingface  TheBloke/Mistral-7B-Instruct-v0.2-GPTQ at main") for line in lines
    )
    assert any(line.startswith("vllm         9.65 GB (") for line in lines)
    assert any(line.startswith("transformers 19.97 GB (") for line in lines)


@pytest.mark.parametrize("verb", ["list", "show", "pull"])
def test_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"outworker weights {verb}" in said(capsys, verb, "--help")


def test_help_of_serve_has_xinferences_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    out = capsys.readouterr().out
    for option in ("--model-engine", "--model-format", "--quantization", "--size-in-billions", "--auto"):
        assert option in out
    assert "--no-auto" not in out


def test_an_unknown_variant(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["weights", "show", "awk"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("outworker: no variant awk; did you mean awq?")


@pytest.mark.parametrize("arguments", [("list",), ("show", "awq"), ("pull", "awq")])
@pytest.mark.parametrize("address", ["http://[", "http://127.0.0.1:abc"])
def test_an_address_of_the_hub_that_is_none(
    arguments: tuple[str, ...],
    address: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The hub's client could not even be imported."""
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(SystemExit) as ended:
        main(["weights", *arguments])
    assert ended.value.code == 2
    expected = (
        f"outworker: HF_ENDPOINT: expected an address such as https://huggingface.co, found {address!r}"
    )
    assert capsys.readouterr().err.splitlines() == [expected]


def test_settings_name_the_data_directory(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As `serve --config --env` does: there the copies of llamafiles are looked for, and there is measured."""
    monkeypatch.delenv("OUTWORKER_DATA_DIR", raising=False)
    measured: list[Path] = []

    def measure(catalogues: object, data_dir: Path) -> Machine:
        measured.append(data_dir)
        return machine()

    monkeypatch.setattr("app.cli.weights.measure_for", measure)
    monkeypatch.setattr("app.cli.weights._pull", lambda variant, hub: tmp_path)
    file = tmp_path / "mine.toml"
    file.write_text(f'[server]\ndata_dir = "{tmp_path}/a"\n[env.b.server]\ndata_dir = "{tmp_path}/b"\n')
    for arguments in (["list"], ["show", "awq"], ["pull", "awq"]):
        said(capsys, *arguments, "--config", str(file))
        said(capsys, *arguments, "--config", str(file), "--env", "b")
    assert measured == [tmp_path / "a", tmp_path / "b"] * 3


def test_a_pull_of_what_does_not_fit_says_so_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Under llama.cpp on a machine without AVX2: the note comes, then the pull (here without a client for its hub)."""
    monkeypatch.setattr(
        "app.cli.weights.measure_for", lambda catalogues, data_dir: machine(instruction_sets="sse2")
    )
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "modelscope_hub", None)
    with pytest.raises(SystemExit) as ended:
        main(["weights", "pull", "gguf-Q4_K_M", "--hub", "modelscope"])
    assert ended.value.code == 2
    said = capsys.readouterr()
    reason = "llamacpp needs a processor with avx2 and fma and f16c"
    assert said.out == f"note: this machine can't serve it as it is: {reason}\n"
    assert "ModelScope's client is not installed" in said.err
