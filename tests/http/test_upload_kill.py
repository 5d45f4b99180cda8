"""kill -9 of a server while finetunes are created, filled, checked and deleted over HTTP, then the next start."""

import hashlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.adapters.sealing import adapter_digest
from app.database.opening import open_database
from app.database.tables import ADAPTERS, PENDING, READY
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.settings import CHECKOUT
from tests.http.forms import CONTENT_TYPE, asset_form
from tests.live.server import HF, LiveServer
from tests.server.test_process import FAKE

pytestmark = pytest.mark.soak

PIRATE, JSON = (CHECKOUT / "adapters" / name for name in ("pirate", "json"))
EXAMPLES = {"pirate", "json"}
FINETUNES = "/client/v4/accounts/local/ai/finetunes"
KILLS = 200
CLIENTS = 3
CHECKED_WITHIN_S = 20


@dataclass
class Said:
    """What the server answered about one finetune before it was killed."""

    name: str
    assets: set[str] = field(default_factory=set)
    deletion_sent: bool = False
    deleted: bool = False


@dataclass(eq=False)
class Client(threading.Thread):
    """Goes through the life of one finetune after another until the server is gone."""

    server: LiveServer
    chance: random.Random
    numbers: Iterator[int]
    known: dict[str, Said] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        try:
            with httpx.Client(
                base_url=self.server.url, headers=self.server.authorization, timeout=30
            ) as http:
                while True:
                    self.life(http)
        except httpx.TransportError:
            return

    def life(self, http: httpx.Client) -> None:
        name = f"k{next(self.numbers)}"
        answer = http.post(FINETUNES, json={"model": HF, "name": name, "public": self.chance.random() < 0.5})
        if answer.status_code != 200:
            self.wrong.append(answer.text)
            return
        said = self.known[answer.json()["result"]["id"]] = Said(name)
        for file_name, data in self.plan():
            self.upload(http, said, file_name, data)
        if self.chance.random() < 0.6:
            said.deletion_sent = True
            said.deleted = http.delete(f"{FINETUNES}/{name}").status_code == 200

    def plan(self) -> list[tuple[str, bytes]]:
        """Some send an asset twice, some too few, some a configuration that is refused."""
        config = (PIRATE / CONFIG_FILE).read_bytes() if self.chance.random() < 0.7 else b"{}"
        weights = [(JSON / WEIGHTS_FILE).read_bytes(), (PIRATE / WEIGHTS_FILE).read_bytes()]
        self.chance.shuffle(weights)
        plan = [(CONFIG_FILE, config), (WEIGHTS_FILE, weights[0])]
        self.chance.shuffle(plan)
        if plan[0][0] == WEIGHTS_FILE and self.chance.random() < 0.7:
            plan.insert(0, (WEIGHTS_FILE, weights[1]))
        return plan if self.chance.random() < 0.8 else plan[:1]

    def upload(self, http: httpx.Client, said: Said, file_name: str, data: bytes) -> None:
        answer = http.post(
            f"{FINETUNES}/{said.name}/finetune-assets",
            content=asset_form(file_name, data),
            headers={"content-type": CONTENT_TYPE},
        )
        if answer.status_code == 200 or answer.json()["errors"][0]["code"] == 3030:
            said.assets.add(file_name)
        else:
            self.wrong.append(answer.text)


def test_killed_servers_leave_nothing_half(times: Callable[[int], int], tmp_path: Path) -> None:
    numbers = itertools.count()
    clients: list[Client] = []
    for point in range(times(KILLS) + 1):
        server = LiveServer(tmp_path / "data", FAKE).start().wait_ready()
        try:
            assert_whole(server, clients)
            if point == times(KILLS):
                return
            clients = [
                Client(server, random.Random(f"{point} {number}"), numbers) for number in range(CLIENTS)
            ]
            for client in clients:
                client.start()
            time.sleep(random.Random(point).uniform(0.02, 0.5))
            server.server_process().kill()
            for client in clients:
                client.join(30)
                assert not client.is_alive()
                assert client.wrong == []
        finally:
            server.stop()


def assert_whole(server: LiveServer, clients: list[Client]) -> None:
    listed = verdicts(server)
    assert_acknowledged(listed, {key: said for client in clients for key, said in client.known.items()})
    assert_no_orphans(server.data_dir)
    for finetune in listed.values():
        answer = server.run({"prompt": "a", "lora": finetune["id"]})
        code = answer.json()["errors"][0]["code"] if answer.status_code != 200 else 0
        assert code == {"ready": 0, "refused": 3030, "unfinished": 3039}[finetune["state"]], answer.text
        if finetune["name"] not in EXAMPLES:
            assert server.client.delete(f"{FINETUNES}/{finetune['id']}").status_code == 200
    assert set(verdicts(server)) == {key for key, kept in listed.items() if kept["name"] in EXAMPLES}
    assert_no_orphans(server.data_dir)


def verdicts(server: LiveServer) -> dict[str, dict[str, Any]]:
    """All finetunes by id, once nobody is being checked: nothing is asked of the server for that."""
    deadline = time.monotonic() + CHECKED_WITHIN_S
    while True:
        finetunes = server.client.get(FINETUNES).json()["result"]
        if all(finetune["state"] != "checking" for finetune in finetunes):
            whole = (server.client.get(f"{FINETUNES}/{finetune['id']}") for finetune in finetunes)
            return {answer.json()["result"]["id"]: answer.json()["result"] for answer in whole}
        assert time.monotonic() < deadline, finetunes
        time.sleep(0.05)


def assert_acknowledged(listed: dict[str, dict[str, Any]], known: dict[str, Said]) -> None:
    for key, said in known.items():
        if said.deleted:
            assert key not in listed
        elif not said.deletion_sent:
            assert key in listed, said
            finetune = listed[key]
            if len(said.assets) == 2:
                assert finetune["state"] in ("ready", "refused"), finetune
            if finetune["state"] == "unfinished":
                assert said.assets <= set(finetune["assets"])


def assert_no_orphans(data_dir: Path) -> None:
    database = open_database(f"sqlite:///{data_dir / 'outworker.db'}")
    with database.connect() as connection:
        found = connection.execute(select(ADAPTERS)).all()
    database.dispose()
    root = data_dir / "adapters"
    assert {row.state for row in found} <= {READY, *PENDING}
    rows = [row for row in found if row.state == READY]
    drafts = [row for row in found if row.state != READY]
    assert {path.name for path in (root / "local").iterdir()} == {row.digest for row in rows}
    for digest in {row.digest for row in rows}:
        config, weights = (
            (root / "local" / digest / name).read_bytes() for name in (CONFIG_FILE, WEIGHTS_FILE)
        )
        assert adapter_digest(config, hashlib.sha256(weights).hexdigest()) == digest
    assert {path.name for path in (root / ".drafts").glob("*")} <= {row.id for row in drafts}
    for row in drafts:
        for sha256 in (row.config_sha256, row.weights_sha256):
            if sha256 and not row.findings:
                data = (root / ".drafts" / row.id / sha256).read_bytes()
                assert hashlib.sha256(data).hexdigest() == sha256
    assert list((root / ".incoming").glob("*")) == []
