"""The processes that a server leaves behind when it is killed, and how the next start ends them.

`kill -9` of the server leaves vLLM's core and workers alive, holding memory and cores. So the server keeps a record of
its children (pid and start time, which together name a process for good) in its data directory.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from app.errors import StartupError

END_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """The file `processes.json` of one data directory."""

    path: Path

    def write(self) -> None:
        """Record this process and all its descendants."""
        here = psutil.Process()
        content = {"server": _identity(here), "children": [_identity(child) for child in _descendants(here)]}
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content))
        temporary.replace(self.path)

    def refuse_second_server(self) -> None:
        """Raises StartupError when the recorded server still runs: two servers must not share a data directory."""
        server = _find(self._read().get("server"))
        if server is not None and server.pid != os.getpid():
            raise StartupError(
                f"another server (pid {server.pid}) uses {self.path.parent}: stop it, or set another data_dir"
            )

    def end_leftovers(self) -> int:
        """Kill what a dead server left running, as recorded; returns how many processes that were."""
        leftovers = [found for entry in self._read().get("children", []) if (found := _find(entry))]
        _kill(leftovers)
        self.path.unlink(missing_ok=True)
        return len(leftovers)

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def _identity(process: psutil.Process) -> dict[str, float]:
    return {"pid": process.pid, "started": process.create_time()}


def _descendants(process: psutil.Process) -> Iterator[psutil.Process]:
    for child in process.children(recursive=True):
        if child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            yield child


def _find(entry: Any) -> psutil.Process | None:
    """The recorded process if it still runs; a reused pid has another start time."""
    if not isinstance(entry, dict) or not isinstance(entry.get("pid"), int):
        return None
    try:
        process = psutil.Process(entry["pid"])
        same = process.create_time() == entry.get("started") and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def end_descendants() -> None:
    """Kill whatever this process started and has not ended."""
    _kill(list(_descendants(psutil.Process())))


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=END_WAIT_S)
