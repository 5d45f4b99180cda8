"""The processes that a server leaves behind when it is killed, and how the next start ends them.

`kill -9` of the server leaves vLLM's core and workers alive, holding memory and cores. So the server keeps a record of
its children (pid and start time, which together name a process for good) in its data directory.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

END_WAIT_S = 5.0
SAFE_PATH = "PYTHONSAFEPATH"
SEARCH_PATH = "PYTHONPATH"


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """The file `processes.json` of one data directory."""

    path: Path

    def write(self) -> None:
        """Record this process and all its descendants. Raises `OSError`."""
        here = psutil.Process()
        children = [identity for child in _descendants(here) if (identity := _identity(child))]
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps({"server": _identity(here), "children": children}))
        temporary.replace(self.path)

    def end_leftovers(self, of_server: int | None = None) -> int:
        """Kill what a dead server left running, as recorded; returns how many processes that were.

        A server calls this with the lock of the data directory held, so that the record is a dead one's. Nothing of a
        living server is touched, nor of another than the one with pid `of_server` where that is given.
        """
        server = self._read().get("server")
        if _find(server) is not None or (of_server is not None and _pid(server) != of_server):
            return 0
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


def isolated(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a Python process and all that it starts: none of them imports from its working directory.

    What an operator put on Python's search path stays, but for relative and empty entries: those mean the working
    directory too, and come from `export PYTHONPATH=$PYTHONPATH:/more` mostly.
    """
    entries = environ.get(SEARCH_PATH, "").split(os.pathsep)
    kept = os.pathsep.join(entry for entry in entries if Path(entry).is_absolute())
    others = {name: value for name, value in environ.items() if name != SEARCH_PATH}
    return {**others, SAFE_PATH: "1", **({SEARCH_PATH: kept} if kept else {})}


def _identity(process: psutil.Process) -> dict[str, float] | None:
    """None for a process that has just ended."""
    try:
        return {"pid": process.pid, "started": process.create_time()}
    except psutil.NoSuchProcess:
        return None


def _descendants(process: psutil.Process) -> Iterator[psutil.Process]:
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                yield child


def _pid(entry: Any) -> Any:
    return entry.get("pid") if isinstance(entry, dict) else None


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
