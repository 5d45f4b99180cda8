"""Which server, account and token: what is given, what runs on the data directory, and whom the development token is
shown to."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.cli.remote import find_remote, running_url
from app.data_dir.server_address import ADDRESS_FILE, ServerAddress
from app.errors import OperatorError
from app.settings import CHECKOUT, Settings
from tests.cli.conftest import uses

HERE = ServerAddress("127.0.0.1", 8901)


@pytest.fixture
def own(settings: Settings) -> Settings:
    """Settings that name port 8788, and a data directory whose server has made its token."""
    settings.server.data_dir.mkdir(parents=True)
    (settings.server.data_dir / "dev-token").write_text("ow_development\n")
    return at(settings, port=8788)


@pytest.fixture
def running(own: Settings) -> Iterator[Settings]:
    """With a server on it that was started on port 8901."""
    with uses(own.server.data_dir, HERE):
        yield own


def at(settings: Settings, **server: Any) -> Settings:
    return replace(settings, server=replace(settings.server, **server))


def test_all_from_the_server_that_runs(running: Settings) -> None:
    remote = find_remote(running, {}, None, None, None)
    assert remote.api == "http://127.0.0.1:8901/client/v4"
    assert (remote.account, remote.token) == (running.account_id, "ow_development")
    assert remote.token_in_shell == f"$(cat {running.server.data_dir}/dev-token)"
    assert "ow_development" not in repr(remote)


def test_what_is_given_wins(running: Settings) -> None:
    environ = {"CLOUDFLARE_API_TOKEN": "from-environment"}
    given = find_remote(running, environ, "https://h/client/v4/", "acme", "from-option")
    assert (given.api, given.account, given.token) == ("https://h/client/v4", "acme", "from-option")
    assert find_remote(running, environ, None, None, None).token == "from-environment"
    assert find_remote(running, environ, None, None, None).token_in_shell == "$CLOUDFLARE_API_TOKEN"
    assert find_remote(running, {"CLOUDFLARE_API_TOKEN": ""}, None, None, None).token == "ow_development"


@pytest.mark.parametrize(
    "url", ["http://localhost:8901", "http://127.0.0.1:8901/client/v4", "http://127.0.0.1:8901/"]
)
def test_other_names_of_the_own_server(running: Settings, url: str) -> None:
    """The socket itself is asked: "localhost" may also be ::1, where another program listens."""
    remote = find_remote(running, {}, url, None, None)
    assert (remote.api, remote.token) == ("http://127.0.0.1:8901/client/v4", "ow_development")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8788",
        "http://127.0.0.1",
        "https://127.0.0.1:8901",
        "http://[::1]:8901",
        "http://127.0.0.2:8901",
        "http://10.0.0.1:8901",
        "http://localhost.example:8901",
        "http://a.localhost:8901",
        "http://127.0.0.1:8901/other/client/v4",
    ],
)
def test_the_development_token_is_for_the_own_server_only(running: Settings, url: str) -> None:
    with pytest.raises(OperatorError, match=r"no token for .*--token-file"):
        find_remote(running, {}, url, None, None)


@pytest.mark.parametrize(
    ("listening", "url", "own_one"),
    [
        ("0.0.0.0", "http://127.0.0.1:8901", True),
        ("0.0.0.0", "http://127.0.0.2:8901", True),
        ("0.0.0.0", "http://localhost:8901", True),
        ("0.0.0.0", "http://[::1]:8901", False),
        ("0.0.0.0", "http://192.0.2.1:8901", False),
        ("0.0.0.0", "http://0.0.0.1:8901", False),
        ("::", "http://127.0.0.1:8901", False),
        ("::", "http://localhost:8901", True),
        ("::1", "http://[::1]:8901", True),
        ("::1", "http://[0:0:0:0:0:0:0:1]:8901", True),
        ("192.0.2.1", "http://192.0.2.1:8901", True),
        ("192.0.2.1", "http://localhost:8901", False),
        ("192.0.2.1", "http://127.0.0.1:8901", False),
    ],
)
def test_which_addresses_are_the_own_server(own: Settings, listening: str, url: str, own_one: bool) -> None:
    address = ServerAddress(listening, 8901)
    with uses(own.server.data_dir, address):
        if not own_one:
            with pytest.raises(OperatorError, match="no token for"):
                find_remote(own, {}, url, None, None)
            return
        remote = find_remote(own, {}, url, None, None)
    assert (remote.api, remote.token) == (f"{address.url}/client/v4", "ow_development")


def test_two_servers_with_two_folders(running: Settings, tmp_path: Path) -> None:
    other = at(running, data_dir=tmp_path / "other")
    other.server.data_dir.mkdir()
    (other.server.data_dir / "dev-token").write_text("ow_other")
    with uses(other.server.data_dir, ServerAddress("127.0.0.1", 8902)):
        assert find_remote(running, {}, None, None, None).token == "ow_development"
        assert find_remote(other, {}, None, None, None).token == "ow_other"
        assert find_remote(other, {}, None, None, None).api == "http://127.0.0.1:8902/client/v4"
        for settings, url in ((running, "http://127.0.0.1:8902"), (other, "http://127.0.0.1:8901")):
            with pytest.raises(OperatorError, match="no token for"):
                find_remote(settings, {}, url, None, None)


def test_an_empty_token_is_not_replaced_by_another(running: Settings) -> None:
    with pytest.raises(OperatorError, match="token"):
        find_remote(running, {}, None, None, "").client()


def test_no_server_runs(own: Settings) -> None:
    """Not even one that is at the port of the settings: it is somebody else's."""
    with pytest.raises(OperatorError, match=r"no server uses .*: start it with `.*outworker serve`"):
        find_remote(own, {}, None, None, None)
    with pytest.raises(OperatorError, match="no token for"):
        find_remote(own, {}, "http://127.0.0.1:8788", None, None)


def test_what_a_killed_server_left_is_no_address(own: Settings) -> None:
    program = (
        "import sys, time; from pathlib import Path; from app.data_dir.server_lock import ServerLock; "
        "from app.data_dir.server_address import ServerAddress; folder = Path(sys.argv[1]); "
        "lock = ServerLock.take(folder); "
        "ServerAddress('127.0.0.1', 8901).write(folder); print('taken', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(own.server.data_dir)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"taken\n"
        assert find_remote(own, {}, None, None, None).token == "ow_development"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (own.server.data_dir / ADDRESS_FILE).exists()
    with pytest.raises(OperatorError, match="no server uses"):
        find_remote(own, {}, None, None, None)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"7", b"null", b'{"host": "127.0.0.1"}', b'{"host": "127.0.0.1", "port": "8901"}',
        b'{"host": "127.0.0.1", "port": 0}', b'{"host": "127.0.0.1", "port": 65536}', b'{"host": "h", "port": 1}',
        b'{"host": null, "port": 1}', b"\xff", b" " * 5000,
    ],
)  # fmt: skip
def test_an_address_that_is_none(running: Settings, content: bytes) -> None:
    (running.server.data_dir / ADDRESS_FILE).write_bytes(content)
    with pytest.raises(OperatorError, match="no server uses"):
        running_url(running)


def test_the_address_is_for_its_owner_alone(running: Settings) -> None:
    assert os.stat(running.server.data_dir / ADDRESS_FILE).st_mode & 0o777 == 0o600


def test_a_server_without_its_token(running: Settings) -> None:
    (running.server.data_dir / "dev-token").unlink()
    with pytest.raises(OperatorError, match=r"dev-token is made when `.*outworker serve` starts"):
        find_remote(running, {}, None, None, None)
    (running.server.data_dir / "dev-token").mkdir()
    with pytest.raises(OperatorError, match="dev-token: Is a directory"):
        find_remote(running, {}, None, None, None)


def test_a_path_with_spaces_is_quoted_for_the_shell(own: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    folder.mkdir()
    (folder / "dev-token").write_text("ow_t")
    with uses(folder, HERE):
        remote = find_remote(at(own, data_dir=folder), {}, None, None, None)
    assert remote.token_in_shell == f"$(cat '{folder}/dev-token')"
