"""Servers that are none, or not ours, and networks that break: each is one line that says what to change."""

import socket
from pathlib import Path

import pytest

from app.cli import api_client
from app.cli.api_client import FinetunesClient
from app.cli.api_responses import ServerRefused
from app.errors import OperatorError
from tests.cli.raw import http, ok, raw_server, refusal

TOKEN = "ow_secret-of-the-test"


def line_of(url: str, operation: str = "list", *arguments: object) -> str:
    """The one line of an operation that fails."""
    with FinetunesClient(url, "local", TOKEN) as client, pytest.raises(OperatorError) as caught:
        getattr(client, operation)(*arguments)
    line = str(caught.value)
    assert "\n" not in line
    assert TOKEN not in line
    return line


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    line = line_of(f"http://127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in line
    assert "outworker serve" in line


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", "no whole HTTP answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "no whole HTTP answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", "no whole HTTP answer"),
        (http(b"\x00 no gzip", headers="content-encoding: gzip\r\n"), "no whole HTTP answer"),
        (http(b"<html>welcome</html>"), "HTTP 200 without this API's JSON"),
        (http(b"<html>bad gateway</html>", "502 Bad Gateway"), "HTTP 502 without this API's JSON"),
        (http(b""), "without this API's JSON"),
        (http(b"[]"), "without this API's JSON"),
        (http(b'{"success": "yes"}'), "without this API's JSON"),
        (http(b"[" * 100_000), "without this API's JSON"),
        (http(b"\xff\xfe"), "without this API's JSON"),
        (ok({"id": 7}), "no finetune"),
        (ok(["a name"]), "no finetune"),
        (ok(None), "no finetune"),
        (http(b" " * (api_client.ANSWER_MAX_BYTES + 1)), "more than 10000000 bytes"),
        (refusal("429 Too Many", 3040, "Busy.", "retry-after: 7\r\n"), "Busy. (code 3040); try again in 7 s"),
        (refusal("401 Unauthorized", 10000, "Authentication error"), "a token of this account with --token"),
        (
            http(b'{"errors": "Finetune creation failed", "success": false}', "400 Bad"),
            "Finetune creation failed",
        ),
        (http(b'{"success": false}', "500 Oops"), "HTTP 500 without a reason"),
        (http(b'{"success": true, "result": []}', "500 Oops"), "HTTP 500 without a reason"),
        (refusal("400 Bad", 5090, "a\r\nb\x1b[31mc"), "ab[31mc"),
    ],
)
def test_what_a_server_may_answer(answer: bytes, expected: str) -> None:
    with raw_server(answer) as server:
        line = line_of(server.url)
    assert expected in line
    assert line.startswith(f"{server.url}/client/v4: ")


def test_the_code_of_a_refusal() -> None:
    with (
        raw_server(refusal("400 Bad", 3030, "no")) as server,
        FinetunesClient(server.url, "local", TOKEN) as client,
        pytest.raises(ServerRefused) as caught,
    ):
        client.show("n")
    assert caught.value.code == 3030


def test_a_redirect_is_named_and_not_followed() -> None:
    with raw_server(ok([])) as target:
        headers = f"location: {target.url}/elsewhere?code=1\r\n"
        with raw_server(http(b"", "302 Found", headers)) as server:
            line = line_of(server.url)
        assert f"redirects to {target.url}/elsewhere;" in line
        assert target.requests == []


def test_https_to_a_server_without_it() -> None:
    with raw_server(http(b"")) as server:
        line = line_of(server.url.replace("http:", "https:"))
    assert "can't connect" in line


def test_an_answer_that_does_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "INSPECTION_TIMEOUT_S", 0.1)
    path = tmp_path / "adapter_config.json"
    path.write_bytes(b"{}")

    def silence(request: object) -> bytes:
        server.last.wait()
        return b""

    with raw_server(silence) as server:
        line = line_of(server.url, "upload_asset", "n", path, lambda count: None)
    assert "no answer within 0.1 s" in line


@pytest.mark.parametrize("size", [10, 500_000])
def test_a_file_that_changes_while_it_is_sent(tmp_path: Path, size: int) -> None:
    path = tmp_path / "adapter_model.safetensors"
    path.write_bytes(bytes(200_000))

    def change(count: int) -> None:
        with path.open("r+b") as file:
            file.truncate(size)

    with raw_server(ok({})) as server:
        line = line_of(server.url, "upload_asset", "n", path, change)
    assert "changed while it was sent" in line


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    line = line_of("http://127.0.0.1:1", "upload_asset", "n", tmp_path / "gone", lambda count: None)
    assert "gone: No such file" in line


@pytest.mark.parametrize("token", ["", "a b", "a\n", "é", "a\x00"])
def test_a_token_that_can_be_none(token: str) -> None:
    with pytest.raises(OperatorError, match="token: must be"):
        FinetunesClient("http://127.0.0.1:1", "local", token)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "\udcff", "a" * 65])
def test_a_name_that_can_be_none_is_not_sent(name: str) -> None:
    with raw_server(ok({})) as server:
        for operation in ("show", "delete"):
            assert "is neither an id nor a name" in line_of(server.url, operation, name)
    assert server.requests == []


def test_an_account_that_can_be_none() -> None:
    with pytest.raises(OperatorError, match="account id"):
        FinetunesClient("http://127.0.0.1:1", "../other", TOKEN)


def test_proxies_of_the_environment_never_get_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(http(b"", "502 Bad Gateway")) as proxy, raw_server(ok([])) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for host in ("127.0.0.1", "localhost"):
            with FinetunesClient(server.url.replace("127.0.0.1", host), "local", TOKEN) as client:
                assert client.list() == []
        assert proxy.requests == []


def test_other_hosts_are_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with raw_server(ok([])) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        with FinetunesClient("http://outworker.invalid", "local", TOKEN) as client:
            assert client.list() == []
    assert proxy.requests[0].line.startswith("GET http://outworker.invalid/client/v4/accounts/local/")


def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://ann:secret@h:1")
    with pytest.raises(OperatorError, match="NO_PROXY") as caught:
        FinetunesClient("http://outworker.invalid", "local", TOKEN)
    assert "secret" not in str(caught.value)
