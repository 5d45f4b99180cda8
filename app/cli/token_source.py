"""Where a command gets its token from, so that it need not stand on the command line, which every user of the machine
can read (`ps`)."""

import getpass
import sys
from pathlib import Path
from typing import Final

from app.accounts.development import TOKEN_FILE_MAX_BYTES
from app.errors import OperatorError

STANDARD_INPUT: Final = "-"
TOKEN_VARIABLE: Final = "CLOUDFLARE_API_TOKEN"  # noqa: S105  wrangler's and the SDKs' name
OTHER_WAYS: Final = f"give --token-file FILE (- is standard input), or set {TOKEN_VARIABLE}"


def given_token(token: str | None, token_file: Path | None) -> str | None:
    """What the options give: the text of --token, after a warning, or what --token-file holds.

    Raises `OperatorError` for both, and for a file that can't be read.
    """
    if token is not None and token_file is not None:
        raise OperatorError("--token and --token-file: give one of them")
    if token is not None:
        warning = "warning: every user of this machine can read --token (ps)"
        print(f"outworker: {warning}; {OTHER_WAYS}", file=sys.stderr)
    return token if token_file is None else _read(token_file)


def asked_token(api: str) -> str:
    """What a person types where one sits at the terminal. Raises `OperatorError` where nobody does."""
    if not sys.stdin.isatty():
        raise OperatorError(f"no token for {api}: {OTHER_WAYS}")
    try:
        return getpass.getpass(f"token for {api} (not shown): ").strip()
    except (EOFError, KeyboardInterrupt):
        raise OperatorError(f"no token for {api}: {OTHER_WAYS}") from None


def _read(path: Path) -> str:
    try:
        if str(path) == STANDARD_INPUT:
            data = sys.stdin.buffer.read(TOKEN_FILE_MAX_BYTES)
        else:
            with path.open("rb") as file:
                data = file.read(TOKEN_FILE_MAX_BYTES)
    except OSError as error:
        raise OperatorError(
            f"--token-file {path}: {error.strerror}; give a file that you may read"
        ) from error
    return data.decode("ascii", errors="replace").strip()
