"""The child's side of `worker`: a job per line in, an answer per line out, and bounds on memory."""

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

import psutil

PR_SET_PDEATHSIG = 1


def serve(work: Callable[[dict[str, Any]], dict[str, Any]], *, memory_max_bytes: int) -> None:
    """Answer jobs until standard input ends. `memory_max_bytes` is beyond what the process has now."""
    answers = _only_answers()
    _bound(memory_max_bytes)
    print("{}", file=answers, flush=True)
    for line in sys.stdin.buffer:
        print(json.dumps(work(json.loads(line))), file=answers, flush=True)


def _only_answers() -> Any:
    """Standard output for answers alone. Libraries print what clients wrote: that goes nowhere, not into the log."""
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return answers


def _bound(memory_max_bytes: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # to the whole group: the server drains, then ends this
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        limit = psutil.Process().memory_info().vms + memory_max_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
