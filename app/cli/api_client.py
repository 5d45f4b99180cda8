"""One account's finetunes on a server: create, send the two files, list, show, delete.

`api_url` reads the forms of a server's address that a person may give.
"""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from app.cli.api_responses import (
    Finetune,
    ForeignAnswer,
    ServerRefused,
    Upload,
    read_envelope,
    read_finetune,
    read_upload,
)
from app.data_dir.server_address import is_loopback
from app.errors import OperatorError, printable
from app.names import can_name_adapter, checked_account_id
from app.program import program

API_PATH: Final = "/client/v4"
PORT_MAX: Final = 65_535
EXPECTED: Final = f"expected http://HOST:PORT or https://HOST{API_PATH}"

CONNECT_TIMEOUT_S = 10.0
WRITE_TIMEOUT_S = 60.0  # for one piece of 64 KiB: a slow link takes less
ANSWER_TIMEOUT_S = 60.0
INSPECTION_TIMEOUT_S = 900.0  # the answer to the second file comes after up to 300 MB were inspected
ANSWER_MAX_BYTES = 10_000_000
FAULTS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (httpx.ConnectTimeout, f"no connection within {CONNECT_TIMEOUT_S:g} s; check --url and the network"),
    (
        httpx.ConnectError,
        "can't connect ({cause}); start the server there with `{program} serve`, or change --url",
    ),
    (
        httpx.ReadTimeout,
        "no answer within {answer_timeout_s:g} s; see `{program} adapter list`, then try again",
    ),
    (httpx.WriteTimeout, f"took nothing for {WRITE_TIMEOUT_S:g} s; check the network and try again"),
    (
        httpx.ProxyError,
        "the proxy of the environment failed ({cause}); change HTTPS_PROXY, or set NO_PROXY",
    ),
    (
        (httpx.RemoteProtocolError, httpx.DecodingError),
        "gave no whole HTTP answer ({cause}); try again, or change --url",
    ),
    (httpx.HTTPError, "the connection broke ({cause}); try again"),
)


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
        raise OperatorError(f"--url {printable(text)}: is not a URL; {EXPECTED}") from None
    path = url.path.rstrip("/")
    known = url.scheme in ("http", "https") and url.host and (url.port or 1) <= PORT_MAX
    if not known or not (path == "" or path.endswith(API_PATH)):
        raise OperatorError(f"--url {printable(text)}: {EXPECTED}")
    return url.copy_with(path=path or API_PATH)


class FinetunesClient:
    """Every method raises `OperatorError`, one line that begins with the URL. The token is in none of them."""

    def __init__(self, url: str, account: str, token: str) -> None:
        self.api = api_url(url)
        self._finetunes = f"{self.api}/accounts/{checked_account_id(account)}/ai/finetunes"
        self._http = _http_client(self.api.host, _checked_token(token))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def create(
        self,
        *,
        model: str,
        name: str,
        description: str = "",
        public: bool = False,
        replace: bool = False,
    ) -> Finetune:
        """An unfinished finetune, which the two files complete."""
        body: dict[str, Any] = {"model": model, "name": name}
        if description:
            body["description"] = description
        # `replace` is this server's own: the hosted service hears of it only when a person asks for it.
        body |= {key: True for key, chosen in (("public", public), ("replace", replace)) if chosen}
        headers = {"content-type": "application/json"}
        return self._finetune(self._call("POST", "", content=json.dumps(body).encode(), headers=headers))

    def upload_asset(self, id_or_name: str, path: Path, on_bytes: Callable[[int], None]) -> Upload:
        """Send one of the two files under its own name, read from the disk piece by piece.

        `on_bytes` gets the size of each piece. `ServerRefused` with code 3030: the inspection found something.
        """
        try:
            with _CountedFile(path, on_bytes) as file:
                return read_upload(
                    self._call(
                        "POST",
                        f"/{_checked_id(id_or_name)}/finetune-assets",
                        answer_timeout_s=INSPECTION_TIMEOUT_S,
                        data={"file_name": path.name},
                        files={"file": (path.name, file, "application/octet-stream")},
                    )
                )
        except OSError as error:
            raise OperatorError(f"{path}: {error.strerror or error}; the file must be readable") from error

    def list(self) -> list[Finetune]:
        """The account's own, in the server's order: oldest first. Without ranks and findings."""
        result = self._call("GET", "").get("result")
        items = result if isinstance(result, list) else [result]
        return [self._finetune({"result": item}) for item in items]

    def show(self, id_or_name: str) -> Finetune:
        """One, with its rank and findings."""
        return self._finetune(self._call("GET", f"/{_checked_id(id_or_name)}"))

    def delete(self, id_or_name: str) -> None:
        """Remove one, finished or not."""
        self._call("DELETE", f"/{_checked_id(id_or_name)}")

    def _call(
        self, method: str, path: str, *, answer_timeout_s: float = ANSWER_TIMEOUT_S, **request: Any
    ) -> dict[str, Any]:
        timeout = httpx.Timeout(CONNECT_TIMEOUT_S, read=answer_timeout_s, write=WRITE_TIMEOUT_S)
        try:
            with self._http.stream(method, self._finetunes + path, timeout=timeout, **request) as response:
                return read_envelope(response, _body(response))
        except httpx.HTTPError as error:
            raise OperatorError(f"{self.api}: {_fault(error, answer_timeout_s)}") from error
        except ServerRefused as error:
            raise ServerRefused(f"{self.api}: {error}", error.code) from error
        except OperatorError as error:
            raise OperatorError(f"{self.api}: {error}") from error

    def _finetune(self, envelope: dict[str, Any]) -> Finetune:
        try:
            return read_finetune(envelope.get("result"))
        except ForeignAnswer as error:
            raise OperatorError(f"{self.api}: {error}") from error


class _CountedFile(io.BufferedReader):
    """A file that tells of every piece read from it, and gives exactly the bytes that it had when it was opened."""

    def __init__(self, path: Path, on_bytes: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path))
        self._path = path
        self._on_bytes = on_bytes
        self._left = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self._left -= len(piece)
        if self._left < 0 or (self._left > 0 and not piece):
            raise OperatorError(
                f"{self._path}: changed while it was sent; try again when nothing writes to it"
            )
        self._on_bytes(len(piece))
        return piece


def _http_client(host: str, token: str) -> httpx.Client:
    # A client with a transport of its own asks no proxy of the environment: none is between this machine and itself.
    transport = httpx.HTTPTransport() if is_loopback(host) else None
    headers = {"authorization": f"Bearer {token}", "accept-encoding": "identity", "user-agent": "outworker"}
    try:
        return httpx.Client(headers=headers, transport=transport, follow_redirects=False)
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise OperatorError(
            "environment: HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names a proxy that can't be used; "
            "give an http:// proxy, or the server's host in NO_PROXY"
        ) from error


def _body(response: httpx.Response) -> bytes:
    data = bytearray()
    for piece in response.iter_bytes():
        data += piece
        if len(data) > ANSWER_MAX_BYTES:
            raise ForeignAnswer(f"with more than {ANSWER_MAX_BYTES} bytes")
    return bytes(data)


def _fault(error: httpx.HTTPError, answer_timeout_s: float) -> str:
    """What went wrong on the way, and what to change."""
    cause = printable(str(error)) or type(error).__name__
    text = next(text for kinds, text in FAULTS if isinstance(error, kinds))
    return text.format(cause=cause, answer_timeout_s=answer_timeout_s, program=program())


def _checked_token(token: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise OperatorError("token: must be printable ASCII without spaces; copy it again, whole and alone")
    return token


def _checked_id(id_or_name: str) -> str:
    if not can_name_adapter(id_or_name):
        raise OperatorError(
            f"adapter {printable(id_or_name)!r}: is neither an id nor a name; list the adapters to see them"
        )
    return id_or_name
