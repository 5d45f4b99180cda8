"""`python -m tests.inference.corpus [ENGINE...] [--seeds N] [--only TEXT]`: how many answers satisfy their schemas.

Starts `outworker serve` with the stand-in once for each engine, asks it every schema of the corpus with several seeds at
temperature 1.5, and prints a table: answers that are valid, of all that were not cut by `max_tokens`.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.inference.corpus import Case, load
from tests.inference.corpus.judge import is_valid
from tests.live.server import HF, LiveServer, changed_server

ENGINES = ("vllm", "transformers", "llamacpp")
MAX_TOKENS = 512
TEMPERATURE = 1.5
AT_ONCE = 24
TRIES = 20
OUTCOMES = ("valid", "wrong", "cut", "refused")


def count(
    server: LiveServer, cases: Sequence[Case], seeds: int, *, show: bool = True
) -> Counter[tuple[str, bool]]:
    """Outcomes, each with whether the schema is bounded."""

    def one(job: tuple[Case, int]) -> tuple[str, bool]:
        case, seed = job
        outcome, detail = ask(server, case, seed)
        if show and outcome != "valid":
            print(f"  {outcome}: {case.name} (seed {seed}): {detail}", flush=True)
        return outcome, case.bounded

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(pool.map(one, [(case, seed) for case in cases for seed in range(1, seeds + 1)]))


def ask(server: LiveServer, case: Case, seed: int) -> tuple[str, str]:
    """What became of one question, and its words."""
    body = {
        "prompt": "Answer in JSON.",
        "max_tokens": MAX_TOKENS,
        "temperature": TEMPERATURE,
        "seed": seed,
        "response_format": {"type": "json_schema", "json_schema": case.schema},
    }
    answer = _answered(server, body)
    if answer.status_code == 200:
        value = answer.json()["result"]["response"]
        return (
            ("valid", "")
            if is_valid(case.schema, value)
            else ("wrong", json.dumps(value, ensure_ascii=False)[:200])
        )
    text = answer.json()["errors"][0]["message"]
    if "cut off" in text:
        return "cut", text
    return ("wrong" if "The model's answer" in text else "refused"), text


def _answered(server: LiveServer, body: dict[str, Any]) -> httpx.Response:
    """Asked again while the server says that it is busy."""
    for _ in range(TRIES):
        answer = server.client.post(server.path(HF), json=body, timeout=600)
        if answer.status_code not in (429, 503):
            break
        time.sleep(2)
    return answer


def row(engine: str, counted: Counter[tuple[str, bool]]) -> str:
    total = {outcome: counted[outcome, True] + counted[outcome, False] for outcome in OUTCOMES}
    ended = sum(total.values()) - total["cut"]
    bounded = sum(counted[outcome, True] for outcome in OUTCOMES)
    share = 100 * total["valid"] / max(ended, 1)
    cut = 100 * counted["cut", True] / max(bounded, 1)
    return (
        f"| {engine} | {sum(total.values())} | {ended} | {total['valid']} ({share:.1f} %) | {total['wrong']} "
        f"| {total['refused']} | {total['cut']} | {counted['cut', True]} of {bounded} ({cut:.1f} %) |"
    )


HEAD = (
    "| engine | answers | not cut | of these valid | of these wrong | of these refused | cut | cut of bounded schemas |\n"
    "|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engines", nargs="*", default=ENGINES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--every", type=int, default=1)
    chosen = parser.parse_args()
    cases = [case for case in load() if chosen.only in case.name][:: chosen.every]
    rows = []
    for engine in chosen.engines:
        began = time.monotonic()
        with (
            tempfile.TemporaryDirectory() as folder,
            changed_server(Path(folder), f'engine = "{engine}"') as server,
        ):
            rows.append(row(engine, count(server, cases, chosen.seeds)))
        print(f"{engine}: {len(cases)} schemas in {time.monotonic() - began:.0f} s", flush=True)
    print(HEAD, *rows, sep="\n")


if __name__ == "__main__":
    main()
