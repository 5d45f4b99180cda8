"""A child process for work on what a client wrote: slow work is killed with it, and the server goes on.

A regular expression or a schema can make a library compute for ever, and neither a thread nor a task can be ended. The
child (a module with `app.inference.constrained.worker_main.serve`) reads a job per line from standard input and
answers a line per job; it ends when its input ends, so it never outlives the server.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

import orjson

from app.errors import OutOfCapacity

log = logging.getLogger(__name__)

START_MAX_S = 60.0
NOWHERE = "/"
"""The child's working directory. The paths of its arguments are absolute."""

ANSWER_MAX_BYTES = 16 * 1024**2
BUSY_RETRY_AFTER_S = 5


class TooSlow(Exception):
    """The job did not finish within its limit: the child was killed."""


class Broken(Exception):
    """The child ended over the job, for want of memory for instance."""


class WorkerProcess:
    """`module` is started at the first job, and anew as soon as it was killed; `arguments` are called for then.

    One job at a time, which whoever asks sees to (`app.inference.constrained.worker_pool`).
    """

    def __init__(self, module: str, arguments: Callable[[], tuple[str, ...]] = tuple) -> None:
        self._module = module
        self._arguments = arguments
        self._process: asyncio.Task[asyncio.subprocess.Process] | None = None

    async def ask(self, job: dict[str, Any], limit_s: float) -> dict[str, Any]:
        """The child's answer. Raises TooSlow after `limit_s` seconds of work, Broken, OutOfCapacity."""
        process = await self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(limit_s):
                process.stdin.write(orjson.dumps(job) + b"\n")
                line = await process.stdout.readline()
        except TimeoutError:
            await self._replace()
            raise TooSlow from None
        except ConnectionError:
            line = b""
        if not line.endswith(b"\n"):
            await self._replace()
            raise Broken
        answer: dict[str, Any] = orjson.loads(line)
        return answer

    async def stop(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            process.cancel()
            await _end(process)

    @property
    def pid(self) -> int | None:
        """None where no child runs."""
        if self._process is None or not self._process.done() or self._process.exception():
            return None
        return self._process.result().pid

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and _has_ended(self._process):
            self._process = None
        if self._process is None:
            self._process = asyncio.create_task(self._start())
        try:
            return await asyncio.shield(self._process)
        except (OSError, TimeoutError, Broken):
            log.exception("%s did not start", self._module)
            raise OutOfCapacity("No JSON schema can be read now.", BUSY_RETRY_AFTER_S) from None

    async def _start(self) -> asyncio.subprocess.Process:
        """Returns once the child has said that it takes jobs. It imports nothing from where the server was started."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            self._module,
            *self._arguments(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=NOWHERE,
            limit=ANSWER_MAX_BYTES,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_MAX_S):
                if not await process.stdout.readline():
                    raise Broken
        except BaseException:
            await _kill(process)
            raise
        return process

    async def _replace(self) -> None:
        """Kill the child and start another at once, so that the next job doesn't wait for that too."""
        if self._process is not None:
            await _end(self._process)
            self._process = asyncio.create_task(self._start())


def _has_ended(starting: asyncio.Task[asyncio.subprocess.Process]) -> bool:
    """Whether it failed to start, or was ended by somebody else."""
    if not starting.done():
        return False
    return starting.exception() is not None or _is_over(starting.result())


def _is_over(process: asyncio.subprocess.Process) -> bool:
    """Asked of the system: the loop hears of an end only in one of its next rounds."""
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


async def _end(starting: asyncio.Task[asyncio.subprocess.Process]) -> None:
    (process,) = await asyncio.gather(starting, return_exceptions=True)
    if isinstance(process, asyncio.subprocess.Process):
        await _kill(process)


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode is None:
        process.kill()
    await process.wait()
