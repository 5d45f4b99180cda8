"""app.engines.vllm.executor: torch's own groups, in a world of one and without a port; and in a world of two.

Each runs in a process of its own, because torch has one world per process.
"""

import subprocess
import sys
from pathlib import Path

ALONE = """
import os, sys, psutil, torch, torch.distributed as dist
from app.engines.vllm.executor import no_ports
made = dist.new_group
with no_ports(1):
    store = dist.FileStore(sys.argv[1], 1)
    dist.init_process_group(backend="gloo", store=store, world_size=1, rank=0)
    group = dist.new_group([0], backend="gloo")
assert dist.new_group is made
os.unlink(sys.argv[1])  # as the executor does when all have met
number, others, objects = torch.tensor([7]), [torch.tensor([0])], [None]
dist.all_reduce(number, group=group)
dist.broadcast(number, src=0, group=group)
dist.all_gather(others, number, group=group)
dist.all_gather_object(objects, "mine", group=group)
dist.barrier(group=group)
assert (number.item(), others[0].item(), objects) == (7, 7, ["mine"])
listening = [c for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
print("ports:", len(listening))
dist.destroy_process_group()
"""
ONE_OF_TWO = """
import torch.distributed as dist
from app.engines.vllm.executor import no_ports
made = dist.new_group, dist.init_process_group
with no_ports(2):
    assert (dist.new_group, dist.init_process_group) == made
print("as torch has it")
"""


def python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_world_of_one_computes_and_listens_nowhere(tmp_path: Path) -> None:
    assert python(ALONE, str(tmp_path / "store")) == "ports: 0\n"


def test_a_larger_world_is_left_alone() -> None:
    assert python(ONE_OF_TWO) == "as torch has it\n"
