"""Part "engine": both of our dialects beside vLLM's own server and the bare engine, with the stand-in.

All servers live at the same time, and those whose turn it is not are stopped (SIGSTOP), so each has the machine for
itself. They are loaded in turn and then in the mirror image of that order, for each kind of load anew: a machine that
gets slower or faster meanwhile does so for all.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil

from benchmarks import vllm_serve
from benchmarks.adapters import adapter_folders
from benchmarks.arms import Arm
from benchmarks.client import LoadClient
from benchmarks.figures import Sample
from benchmarks.picture import draw
from benchmarks.processes import Child, cpu_s, descendants
from benchmarks.report import Part
from benchmarks.servers import LAUNCHES, Launch, Site, write_config
from benchmarks.tables import notes, sheet
from benchmarks.targets import targets_sheet
from benchmarks.weights import endless_standin
from benchmarks.workload import (
    CASES,
    Case,
    Prompts,
    check_job,
    check_texts,
    check_work,
)

WARM_UP_CLIENTS = 4


def run(folder: Path, launches: Sequence[Launch] = LAUNCHES, cases: Sequence[Case] = CASES) -> Part:
    """`folder` is for logs, data and weights. Raises BenchError."""
    weights = endless_standin(folder)
    prompts = Prompts(weights)
    with ExitStack() as stack:
        client = stack.enter_context(LoadClient.started(folder))
        second = stack.enter_context(vllm_serve.started(folder))
        site = Site(weights, adapter_folders(folder), folder, write_config(folder, weights), client)
        waits = [launch(site, stack) for launch in launches]
        servers = [wait() for wait in waits]
        stack.enter_context(asleep([arms[0].server for arms in servers]))
        check_texts(dict(_greedy(arm) for arms in servers for arm in _awake(arms)))
        samples = [sample for case in cases for sample in turns(case, servers, prompts)]
        opinions = list(_opinions(second, servers, weights))
    sheets = [sheet(case.name, samples) for case in cases]
    return Part(
        name="engine",
        title=sheets[0].title,
        columns=sheets[0].columns,
        rows=sheets[0].rows,
        more=[*sheets[1:], vllm_serve.sheet(opinions), targets_sheet([case.name for case in cases], samples)],
        notes=list(notes()),
        samples={"turns": samples, "vllm_serve": opinions},
        picture=draw([case.name for case in cases], samples),
    )


def order(case: Case, servers: Sequence[Sequence[Arm]]) -> Iterator[tuple[Sequence[Arm], Sequence[int]]]:
    """The arms of one server and the numbers of clients: A B C D, then D C B A with all of it mirrored."""
    clients = list(case.rounds)
    yield from ((arms, clients) for arms in servers)
    if case.mirrored:
        yield from ((arms[::-1], clients[::-1]) for arms in reversed(servers))


def turns(case: Case, servers: Sequence[Sequence[Arm]], prompts: Prompts) -> Iterator[Sample]:
    """One kind of load on all servers, which are `asleep` before and after."""
    warm_up = replace(case, rounds={WARM_UP_CLIENTS: 1})
    for arms in servers:
        for arm in _awake(arms):
            arm.work(prompts.job(warm_up, WARM_UP_CLIENTS))
    for arms, numbers in order(case, servers):
        for arm in _awake(arms):
            arm.work(prompts.job(replace(case, rounds={1: 1}), 1))  # after its sleep
            for clients in numbers:
                yield _turn(arm, case, clients, prompts)


def _turn(arm: Arm, case: Case, clients: int, prompts: Prompts) -> Sample:
    job = prompts.job(case, clients)
    engine = descendants(arm.server)
    server_before, engine_before = cpu_s([arm.server]), cpu_s(engine)
    work = arm.work(job)
    server_cpu_s, engine_cpu_s = cpu_s([arm.server]) - server_before, cpu_s(engine) - engine_before
    check_work(arm.name, case, work)
    firsts = [stream.first_s for stream in work.streams]
    gaps = [gap for stream in work.streams for gap in stream.gaps_s]
    return Sample(
        arm=arm.name,
        case=case.name,
        clients=clients,
        seconds=work.seconds,
        streams=len(work.streams),
        tokens=work.tokens,
        first_p50_s=float(np.percentile(firsts, 50)),
        first_p99_s=float(np.percentile(firsts, 99)),
        gap_p99_s=float(np.percentile(gaps, 99)),
        server_cpu_s=server_cpu_s,
        engine_cpu_s=engine_cpu_s,
        rss_bytes=arm.server.memory_info().rss,
    )


def _opinions(second: Child, servers: Sequence[Sequence[Arm]], weights: Path) -> Iterator[vllm_serve.Opinion]:
    """Of each server that has OpenAI's chat, in turn and back."""
    for seed, (arms, _) in enumerate(order(CASES[0], servers)):
        for arm in _awake(arms):
            if arm.chat is not None:
                yield vllm_serve.opinion(second, arm.name, arm.chat, weights, seed)


def _greedy(arm: Arm) -> tuple[str, list[str]]:
    """Texts without the mark of their first word, a space that is ours to leave out."""
    return arm.name, [stream.text.strip() for stream in arm.work(check_job()).streams]


def _awake(arms: Sequence[Arm]) -> Iterator[Arm]:
    """The arms of one server, which runs meanwhile."""
    with awake(arms[0].server):
        yield from arms


@contextmanager
def asleep(servers: Sequence[psutil.Process]) -> Iterator[None]:
    """They and their engines are stopped but for where they are `awake`."""
    for server in servers:
        _suspend(server)
    try:
        yield
    finally:
        for server in servers:
            _resume(server)


@contextmanager
def awake(server: psutil.Process) -> Iterator[None]:
    _resume(server)
    try:
        yield
    finally:
        _suspend(server)


def _suspend(server: psutil.Process) -> None:
    for process in (server, *descendants(server)):
        process.suspend()


def _resume(server: psutil.Process) -> None:
    for process in (*descendants(server), server):
        process.resume()
