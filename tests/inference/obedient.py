"""A child for the tests of `app.inference.constrained.worker`: does what its jobs say."""

import os
import sys
import time
from typing import Any

from app.inference.constrained.worker_main import serve


def work(job: dict[str, Any]) -> dict[str, Any]:
    if "sleep_s" in job:
        time.sleep(job["sleep_s"])
    if "bytes" in job:
        return {"length": len(bytes(job["bytes"]))}
    if job.get("end"):
        os._exit(1)
    print("what a library says")
    print("what a library warns of", file=sys.stderr)
    return {"pid": os.getpid(), "echo": job.get("echo"), "arguments": sys.argv[1:]}


if __name__ == "__main__":
    serve(work, memory_max_bytes=64 * 1024 * 1024)
