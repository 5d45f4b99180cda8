import pytest

from app.cli.api_client import api_url
from app.data_dir.server_address import is_loopback
from app.errors import OperatorError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://h:8787", "http://h:8787/client/v4"),
        ("http://h:8787/", "http://h:8787/client/v4"),
        ("http://h:8787/client/v4", "http://h:8787/client/v4"),
        (" http://h:8787/client/v4/ ", "http://h:8787/client/v4"),
        ("https://api.cloudflare.com/client/v4", "https://api.cloudflare.com/client/v4"),
        ("https://gateway.example/ai/client/v4", "https://gateway.example/ai/client/v4"),
        ("http://[::1]:8787", "http://[::1]:8787/client/v4"),
    ],
)
def test_every_form_gives_the_api(given: str, expected: str) -> None:
    assert str(api_url(given)) == expected


@pytest.mark.parametrize(
    "given",
    [
        "",
        "h",
        "h:8787",
        "127.0.0.1:8787",
        "ftp://h",
        "http://",
        "http://h/accounts",
        "http://h:99999",
        "http://h:x",
    ],
)
def test_what_is_no_address_is_named_with_what_was_expected(given: str) -> None:
    with pytest.raises(OperatorError, match="expected http://HOST:PORT") as caught:
        api_url(given)
    assert given in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given", ["http://ann:secret@h", "ann:secret@h:1", "http://h/?token=secret", "http://h#secret"]
)
def test_a_secret_in_an_address_is_not_repeated(given: str) -> None:
    with pytest.raises(OperatorError, match="--token") as caught:
        api_url(given)
    assert "secret" not in str(caught.value)


def test_a_lone_surrogate_from_the_command_line() -> None:
    with pytest.raises(OperatorError, match="expected"):
        api_url("http://h\udcff")


def test_loopback() -> None:
    assert all(map(is_loopback, ["localhost", "api.localhost", "127.0.0.1", "127.9.9.9", "::1"]))
    assert not any(map(is_loopback, ["10.0.0.1", "localhost.example", "::2", "0.0.0.0", "example.com"]))
