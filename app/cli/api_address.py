"""Where a server is: the forms of a URL that a person may give."""

import ipaddress
from typing import Final

import httpx

from app.errors import OperatorError, printable

API_PATH: Final = "/client/v4"
PORT_MAX: Final = 65_535
EXPECTED: Final = f"expected http://HOST:PORT or https://HOST{API_PATH}"


def api_url(text: str) -> httpx.URL:
    """`http://HOST:PORT`, with or without `/client/v4` and a slash, as the URL that ends in `/client/v4`.

    Raises `OperatorError`, whose text never has a password that the URL has.
    """
    if any(mark in text for mark in "@?#"):
        raise OperatorError(
            f"--url: has a user, a query or a fragment; {EXPECTED}, and the token in --token-file"
        )
    try:
        url = httpx.URL(text.strip())
    except (httpx.InvalidURL, UnicodeError):
        raise OperatorError(f"--url {printable(text)}: is no URL; {EXPECTED}") from None
    path = url.path.rstrip("/")
    known = url.scheme in ("http", "https") and url.host and (url.port or 1) <= PORT_MAX
    if not known or not (path == "" or path.endswith(API_PATH)):
        raise OperatorError(f"--url {printable(text)}: {EXPECTED}")
    return url.copy_with(path=path or API_PATH)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine for certain."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
