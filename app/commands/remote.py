"""Which server an adapter command talks to, for which account and with whose token."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from app.accounts.development import TOKEN_FILE, TOKEN_FILE_MAX_BYTES
from app.client import FinetunesClient, api_url
from app.commands.token_source import OTHER_WAYS, TOKEN_VARIABLE, asked_token
from app.errors import OperatorError
from app.settings import Server, Settings

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Remote:
    """`token_in_shell` is how a command line gets the token without showing it."""

    api: str
    account: str
    token: str = field(repr=False)
    token_in_shell: str

    def client(self) -> FinetunesClient:
        return FinetunesClient(self.api, self.account, self.token)


def find_remote(
    settings: Settings, environ: Mapping[str, str], url: str | None, account: str | None, token: str | None
) -> Remote:
    """What isn't given comes from the settings: their own server, their account, and for their own server the
    development token. `CLOUDFLARE_API_TOKEN` wins over that file. Raises `OperatorError`."""
    api = api_url(own_url(settings.server) if url is None else url)
    token_in_shell = f"${TOKEN_VARIABLE}"
    if token is None:
        token = environ.get(TOKEN_VARIABLE) or None
    if token is None:
        path = settings.server.data_dir / TOKEN_FILE
        if _is_own(api, settings.server):
            token, token_in_shell = _development_token(path), f"$(cat {shlex.quote(str(path))})"
        else:
            token = asked_token(str(api))
    return Remote(str(api), account or settings.account_id, token, token_in_shell)


def own_url(server: Server) -> str:
    """The URL under which this machine reaches the server of the settings. Raises `OperatorError` for port 0."""
    if server.port == 0:
        raise OperatorError(
            "server.port is 0, so the port is known only to the running server: give --url as it was printed"
        )
    return server.own_url(server.port)


def _is_own(api: httpx.URL, server: Server) -> bool:
    return server.port != 0 and _place(api) == _place(api_url(own_url(server)))


def _place(api: httpx.URL) -> tuple[str, str, int, str]:
    host = "localhost" if api.host in LOCAL_HOSTS else api.host
    return api.scheme, host, api.port or httpx.URL(f"{api.scheme}://").port or 0, api.path


def _development_token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(TOKEN_FILE_MAX_BYTES).decode("ascii", errors="replace").strip()
    except FileNotFoundError:
        raise OperatorError(
            f"no token: {path} is made when `outworker serve` starts; start it, or {OTHER_WAYS}"
        ) from None
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}; make it readable, or {OTHER_WAYS}") from error
