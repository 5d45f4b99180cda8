"""curl, in every way that its uploads look: order and names of the parts, slashes, chunks, a question before the body."""

import json
import os
import subprocess
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.clients.finetunes import ASSETS, CONFIG, FINETUNES, WEIGHTS, created, listed, run_with
from tests.live.server import CF, LiveServer

TOO_LARGE_BYTES = 310_000_000
WAIT_S = "30"  # for the answer to Expect, before curl would send the body unasked
EXPECT = ("-H", "Expect: 100-continue", "--expect100-timeout", WAIT_S)

FRAMINGS: dict[str, tuple[str, ...]] = {"length": (), "chunked": ("-H", "Transfer-Encoding: chunked")}
NAMINGS = {"filename": "file=@{}", "blob": "file=@{};filename=blob", "nameless": "file=<{}"}


class Way(NamedTuple):
    """How an upload is sent."""

    first: str
    naming: str
    framing: str
    slash: str

    def options(self, file: Path) -> list[str]:
        forms = [f"file_name={file.name}", NAMINGS[self.naming].format(file)]
        if self.first == "file":
            forms.reverse()
        return [*FRAMINGS[self.framing], *(option for form in forms for option in ("-F", form))]

    def __str__(self) -> str:
        return "-".join(
            (f"{self.first}-first", self.naming, self.framing, *(["slash"] if self.slash else []))
        )


WAYS = [Way(*way) for way in product(("name", "file"), NAMINGS, FRAMINGS, ("", "/"))]


def curl(server: LiveServer, path: str, *options: str) -> tuple[int, Any, int]:
    """Status, the answer's JSON, and how many bytes of a body were sent."""
    said = "\n%{http_code} %{size_upload}"
    header = f"Authorization: Bearer {server.token}"
    command = ["curl", "-q", "--noproxy", "*", "--silent", "--show-error", "--write-out", said, "-H", header]
    done = subprocess.run(
        [*command, *options, f"{server.url}{path}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    body, _, last = done.stdout.rpartition("\n")
    status, sent = last.split()
    return int(status), json.loads(body), int(sent)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_uploads(server: LiveServer, adapter: Path, way: Way) -> None:
    name, collection = str(way), f"{FINETUNES}{way.slash}"
    status, answer, _ = curl(server, collection, "--data", json.dumps({"model": CF, "name": name}))
    assert status == 200, answer
    assets = f"{FINETUNES}/{answer['result']['id']}/finetune-assets{way.slash}"
    for file_name, state in zip(ASSETS, ("unfinished", "ready"), strict=True):
        status, answer, _ = curl(server, assets, *way.options(adapter / file_name))
        assert status == 200, answer
        assert (answer["result"]["file_name"], answer["result"]["state"]) == (file_name, state)
    _, listing, _ = curl(server, collection)
    assert [item["state"] for item in listing["result"] if item["name"] == name] == ["ready"]
    assert run_with(server, name).startswith(f"[{name}]")


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(server: LiveServer, tmp_path: Path) -> None:
    sparse = tmp_path / WEIGHTS  # a hole: it takes no room on the disk
    sparse.touch()
    os.truncate(sparse, TOO_LARGE_BYTES)
    path = f"{FINETUNES}/{created(server, 'too-large')}/finetune-assets"
    status, answer, sent = curl(server, path, *EXPECT, "-F", f"file_name={WEIGHTS}", "-F", f"file=@{sparse}")
    assert (status, answer["errors"][0]["code"]) == (413, 3006)
    assert "300000000" in answer["errors"][0]["message"]
    assert sent == 0
    assert listed(server, "too-large")["state"] == "unfinished"


def test_a_file_that_is_not_is_asked_for(server: LiveServer, adapter: Path) -> None:
    path = f"{FINETUNES}/{created(server, 'expected')}/finetune-assets"
    file = adapter / CONFIG
    status, answer, sent = curl(server, path, *EXPECT, *Way("name", "filename", "length", "").options(file))
    assert status == 200, answer
    assert sent > file.stat().st_size


def test_a_configuration_that_is_too_large_is_refused(
    server: LiveServer, adapter: Path, tmp_path: Path
) -> None:
    padded = tmp_path / CONFIG
    padded.write_bytes((adapter / CONFIG).read_bytes().ljust(64_001))
    path = f"{FINETUNES}/{created(server, 'padded')}/finetune-assets"
    status, answer, _ = curl(server, path, "-F", f"file_name={CONFIG}", "-F", f"file=@{padded}")
    assert (status, answer["errors"][0]["code"]) == (413, 3006)
    assert "64000" in answer["errors"][0]["message"]
