"""Which server an adapter command talks to, for which account and with whose token."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from app.accounts.development import TOKEN_FILE, TOKEN_FILE_MAX_BYTES
from app.cli.api_client import API_PATH, FinetunesClient, api_url
from app.cli.token_source import OTHER_WAYS, TOKEN_VARIABLE, asked_token
from app.data_dir.server_address import ServerAddress
from app.errors import OperatorError
from app.program import program
from app.settings import Settings

HTTP_PORT = 80


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
    """What isn't given is that of the server which uses the data directory now: its address, the settings' account and
    the development token, which no other server is sent. `CLOUDFLARE_API_TOKEN` wins over that file.

    Raises `OperatorError`.
    """
    running = ServerAddress.of_running(settings.server.data_dir)
    api = api_url(running_url(settings) if url is None else url)
    own = running is not None and _is_own(api, running)
    if own and running is not None:
        api = api_url(running.url)  # this very socket: "localhost" may be another one's
    token_in_shell = f"${TOKEN_VARIABLE}"
    if token is None:
        token = environ.get(TOKEN_VARIABLE) or None
    if token is None and own:
        path = settings.server.data_dir / TOKEN_FILE
        token, token_in_shell = _development_token(path), f"$(cat {shlex.quote(str(path))})"
    if token is None:
        token = asked_token(str(api))
    return Remote(str(api), account or settings.account_id, token, token_in_shell)


def running_url(settings: Settings) -> str:
    """The URL of the server that uses the data directory now. Raises `OperatorError` where none does."""
    data_dir = settings.server.data_dir
    running = ServerAddress.of_running(data_dir)
    if running is None:
        raise OperatorError(
            f"no server uses {data_dir}: start it with `{program()} serve`, or give the address of another as --url"
        )
    return running.url


def _is_own(api: httpx.URL, running: ServerAddress) -> bool:
    port = api.port or HTTP_PORT
    return (
        api.scheme == "http"
        and api.path == API_PATH
        and port == running.port
        and running.is_at(api.host.strip("[]"))
    )


def _development_token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(TOKEN_FILE_MAX_BYTES).decode("ascii", errors="replace").strip()
    except FileNotFoundError:
        raise OperatorError(
            f"no token: {path} is made when `{program()} serve` starts; start it, or {OTHER_WAYS}"
        ) from None
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}; make it readable, or {OTHER_WAYS}") from error
