"""Which server, account and token: what is given, what the settings say, and whom the development token is shown to."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.commands.remote import find_remote, own_url
from app.errors import OperatorError
from app.settings import Settings


@pytest.fixture
def own(settings: Settings) -> Settings:
    """Settings of a server on port 8787 that has made its token."""
    settings.server.data_dir.mkdir(parents=True)
    (settings.server.data_dir / "dev-token").write_text("ow_development\n")
    return at(settings, port=8787)


def at(settings: Settings, **server: Any) -> Settings:
    return replace(settings, server=replace(settings.server, **server))


def test_all_from_the_settings(own: Settings) -> None:
    remote = find_remote(own, {}, None, None, None)
    assert remote.api == "http://127.0.0.1:8787/client/v4"
    assert (remote.account, remote.token) == (own.account_id, "ow_development")
    assert remote.token_in_shell == f"$(cat {own.server.data_dir}/dev-token)"
    assert "ow_development" not in repr(remote)


def test_what_is_given_wins(own: Settings) -> None:
    environ = {"CLOUDFLARE_API_TOKEN": "from-environment"}
    given = find_remote(own, environ, "https://h/client/v4/", "acme", "from-option")
    assert (given.api, given.account, given.token) == ("https://h/client/v4", "acme", "from-option")
    assert find_remote(own, environ, None, None, None).token == "from-environment"
    assert find_remote(own, environ, None, None, None).token_in_shell == "$CLOUDFLARE_API_TOKEN"
    assert find_remote(own, {"CLOUDFLARE_API_TOKEN": ""}, None, None, None).token == "ow_development"


@pytest.mark.parametrize(
    "url", ["http://localhost:8787", "http://127.0.0.1:8787/client/v4", "http://[::1]:8787/"]
)
def test_other_names_of_the_own_server(own: Settings, url: str) -> None:
    assert find_remote(own, {}, url, None, None).token == "ow_development"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8788",
        "http://127.0.0.1",
        "https://127.0.0.1:8787",
        "http://10.0.0.1:8787",
        "http://localhost.example:8787",
        "http://127.0.0.1:8787/other/client/v4",
    ],
)
def test_the_development_token_is_for_the_own_server_only(own: Settings, url: str) -> None:
    with pytest.raises(OperatorError, match=r"--token-file .* or set CLOUDFLARE_API_TOKEN"):
        find_remote(own, {}, url, None, None)


def test_an_empty_token_is_not_replaced_by_another(own: Settings) -> None:
    with pytest.raises(OperatorError, match="token: must be"):
        find_remote(own, {}, None, None, "").client()


def test_a_server_that_was_never_started(own: Settings) -> None:
    (own.server.data_dir / "dev-token").unlink()
    with pytest.raises(OperatorError, match="outworker serve"):
        find_remote(own, {}, None, None, None)
    (own.server.data_dir / "dev-token").mkdir()
    with pytest.raises(OperatorError, match="dev-token: Is a directory"):
        find_remote(own, {}, None, None, None)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:8787"),
        ("0.0.0.0", "http://127.0.0.1:8787"),
        ("::", "http://[::1]:8787"),
        ("fd00::1", "http://[fd00::1]:8787"),
        ("box.example", "http://box.example:8787"),
    ],
)
def test_the_own_url(own: Settings, host: str, expected: str) -> None:
    assert own_url(at(own, host=host).server) == expected


def test_a_port_that_only_the_running_server_knows(own: Settings) -> None:
    free = at(own, port=0)
    with pytest.raises(OperatorError, match="--url"):
        find_remote(free, {}, None, None, None)
    with pytest.raises(OperatorError, match="--token"):
        find_remote(free, {}, "http://127.0.0.1:8787", None, None)


def test_a_path_with_spaces_is_quoted_for_the_shell(own: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    folder.mkdir()
    (folder / "dev-token").write_text("ow_t")
    assert (
        find_remote(at(own, data_dir=folder), {}, None, None, None).token_in_shell
        == f"$(cat '{folder}/dev-token')"
    )
