"""A program: commands on a data directory whose file system is full. Run it in a mount namespace of its own.

It prints a JSON object: by the name of a step, the exit status, standard output and standard error of its command.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from app.server.stores import open_stores

CHECKOUT = Path(__file__).resolve().parents[1]
FAKE = CHECKOUT / "wrangler-like-config" / "fake-engine.toml"
SIZE_BYTES = 96_000_000


class Disk:
    """A tmpfs of `SIZE_BYTES` at `root`, and the commands that are run on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.steps: dict[str, Mapping[str, object]] = {}
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(root)], check=True)

    def run(self, step: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "app.cli.main", *arguments],
            cwd=CHECKOUT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.steps[step] = {"status": done.returncode, "out": done.stdout, "err": done.stderr}
        return done.stdout

    def environment(self) -> dict[str, str]:
        return {**os.environ, "OUTWORKER_DATA_DIR": str(self.data), "PORT": "0", "TMPDIR": str(self.root)}

    def fill(self) -> None:
        """Until not a byte more fits."""
        with (self.root / "filler").open("ab", buffering=0) as file:
            for size in (1_000_000, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue

    def empty(self) -> None:
        (self.root / "filler").unlink()

    @contextmanager
    def server(self) -> Iterator[str]:
        """Its URL, once it is ready."""
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli.main", "serve", "--config", str(FAKE)],
            cwd=CHECKOUT,
            env=self.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        url = process.stdout.readline().split()[2]
        while httpx.get(f"{url}/ready").status_code != 200:
            time.sleep(0.05)
        try:
            yield url
        finally:
            process.terminate()
            process.communicate(timeout=60)


def token(disk: Disk, step: str) -> tuple[str, str]:
    """Id and text."""
    lines = disk.run(step, "token", "create", "--account", "local", "--scope", "ai:write").split()
    return lines[1], lines[3]


def without_a_server(disk: Disk) -> None:
    ids = [token(disk, "made")[0] for _ in range(3)]
    adapter = ["adapter", "add", str(CHECKOUT / "adapters" / "pirate"), "--config", str(FAKE), "--name"]
    disk.run("added", *adapter, "one")
    disk.fill()
    disk.run("create", "token", "create", "--account", "local", "--scope", "ai:read")
    disk.run("list", "token", "list")
    disk.run("revoke", "token", "revoke", ids[0])
    disk.fill()
    disk.run("revoke again", "token", "revoke", ids[0])
    disk.run("revoke another", "token", "revoke", ids[1])
    disk.fill()
    disk.run("add", *adapter, "two")
    disk.run("backup", "backup", str(disk.root / "saved"))
    disk.fill()
    disk.run("remove", "adapter", "rm", "one")
    disk.fill()
    (disk.data / "reserve").unlink(missing_ok=True)
    disk.fill()
    disk.run("revoke without room", "token", "revoke", ids[2])
    disk.run("list without room", "token", "list")
    disk.run("serve", "serve", "--config", str(FAKE))
    disk.empty()
    disk.run("listed", "token", "list")


def under_a_server(disk: Disk) -> None:
    with disk.server() as url:
        revoked = token(disk, "made")
        kept = token(disk, "made")
        disk.fill()
        disk.run("create", "token", "create", "--account", "local", "--scope", "ai:read")
        disk.run("revoke", "token", "revoke", revoked[0])
        time.sleep(1)
        finetunes = f"{url}/client/v4/accounts/local/ai/finetunes"
        answers = {
            "revoked": httpx.get(finetunes, headers={"authorization": f"Bearer {revoked[1]}"}),
            "kept": httpx.get(finetunes, headers={"authorization": f"Bearer {kept[1]}"}),
        }
        disk.fill()
        headers = {"authorization": f"Bearer {kept[1]}"}
        body = {"model": "@hf/mistral/mistral-7b-instruct-v0.2", "name": "new"}
        answers["created"] = httpx.post(finetunes, headers=headers, json=body)
        answers["deleted"] = httpx.delete(f"{finetunes}/pirate", headers=headers)
        disk.fill()
        answers["deleted too"] = httpx.delete(f"{finetunes}/json", headers=headers)
        answers["left"] = httpx.get(finetunes, headers=headers)
        for step, answer in answers.items():
            disk.steps[step] = {"status": answer.status_code, "out": answer.text, "err": ""}
    disk.steps["log"] = {"status": 0, "out": (disk.data / "server.log").read_text(), "err": ""}


def many(disk: Disk) -> None:
    """Revocations in one process, with the disk filled to the last byte before each."""
    stores = open_stores(FAKE, None)
    made = [stores.tokens.create("local", ["ai:read"])[0] for _ in range(int(sys.argv[3]))]
    for token_id in made:
        with stores.database.connect() as connection:  # so that each has to make SQLite's log grow
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        disk.fill()
        stores.tokens.revoke(token_id)
    left = len(stores.tokens.list())
    disk.steps["many"] = {"status": 0, "out": str(left), "err": ""}


if __name__ == "__main__":
    disk = Disk(Path(sys.argv[1]))
    os.environ.update(disk.environment())
    {"without_a_server": without_a_server, "under_a_server": under_a_server, "many": many}[sys.argv[2]](disk)
    print(json.dumps(disk.steps))
