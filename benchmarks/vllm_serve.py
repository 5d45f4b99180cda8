"""A second opinion on latencies, by vLLM's own `vllm.benchmarks.serve`: `python -m benchmarks.vllm_serve`.

A process of its own, because its imports take seconds: it is told (`benchmarks.client.ask`) a list of that program's
arguments and answers with its result.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.arms import Address
from benchmarks.client import answer_line, ask
from benchmarks.errors import BenchError
from benchmarks.processes import Child
from benchmarks.report import Sheet

CLIENTS = 16
PROMPTS = 48
INPUT_TOKENS = 32
OUTPUT_TOKENS = 64
FIGURES = ("median_ttft_ms", "p99_ttft_ms", "median_itl_ms", "p99_itl_ms", "output_throughput")


@dataclass(frozen=True, slots=True)
class Opinion:
    """One run: milliseconds to the first token and between tokens, and tokens per second."""

    arm: str
    median_ttft_ms: float
    p99_ttft_ms: float
    median_itl_ms: float
    p99_itl_ms: float
    output_throughput: float


def started(folder: Path) -> Child:
    """To be entered; it imports while others start."""
    return Child([sys.executable, "-m", "benchmarks.vllm_serve"], folder / "vllm-serve.log", talks=True)


def opinion(child: Child, arm: str, address: Address, weights: Path, seed: int) -> Opinion:
    """Raises BenchError where not every request was answered."""
    result = ask(child, list(arguments(address, weights, seed)))
    if result["completed"] != PROMPTS:
        raise BenchError(f"{arm}: vllm.benchmarks.serve got {result['completed']} answers of {PROMPTS}")
    return Opinion(arm, **{name: result[name] for name in FIGURES})


def arguments(address: Address, weights: Path, seed: int) -> Iterator[str]:
    """Of one run. Another `seed` makes other prompts, so that none is in the prefix cache."""
    given = {
        "backend": "openai-chat",
        "base-url": address.url,
        "endpoint": address.path,
        "model": address.model,
        "tokenizer": weights,
        "dataset-name": "random",
        "random-input-len": INPUT_TOKENS,
        "random-output-len": OUTPUT_TOKENS,
        "num-prompts": PROMPTS,
        "max-concurrency": CLIENTS,
        "temperature": 0.7,
        "seed": seed,
        "ready-check-timeout-sec": 0,
        "percentile-metrics": "ttft,itl",
    }
    for name, value in given.items():
        yield from (f"--{name}", str(value))
    yield from ("--ignore-eos", "--disable-tqdm")
    if address.token:
        yield from ("--header", f"Authorization=Bearer {address.token}")


def sheet(opinions: Sequence[Opinion]) -> Sheet:
    """A row for each run."""
    return Sheet(
        title=f"vllm.benchmarks.serve: {CLIENTS} clients, {INPUT_TOKENS} in and the template, {OUTPUT_TOKENS} out, base",
        columns=("server", "first p50 ms", "p99 ms", "gap p50 ms", "p99 ms", "tokens/s"),
        rows=[(each.arm, *(f"{getattr(each, name):.1f}" for name in FIGURES)) for each in opinions],
    )


def main() -> None:
    from vllm.benchmarks.serve import add_cli_args  # noqa: PLC0415  seconds of import, in that process only
    from vllm.benchmarks.serve import main as serve  # noqa: PLC0415
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415

    parser = FlexibleArgumentParser()
    add_cli_args(parser)

    def run(given: list[str]) -> dict[str, Any]:
        result = serve(parser.parse_args(given))
        figures = {name: float(result[name]) for name in FIGURES}  # they are numpy's
        return {"completed": int(result["completed"]), **figures}

    for line in sys.stdin.buffer:
        answer_line(line, run)


if __name__ == "__main__":
    main()
