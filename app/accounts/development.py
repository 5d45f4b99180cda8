"""The development account's token, kept in a file so that every start prints the same one."""

import contextlib
from pathlib import Path

from app.accounts.tokens import WRITE, TokenStore
from app.errors import OperatorError
from app.files import PRIVATE_FILE_MODE, folder_lock, private_folder, write_private_file

TOKEN_FILE = "dev-token"  # noqa: S105
TOKEN_FILE_MAX_BYTES = 1024


def development_token(store: TokenStore, data_dir: Path, account_id: str) -> tuple[str, bool]:
    """The token in `<data_dir>/dev-token` and whether it was made just now.

    It is reused while it may write for `account_id`, and replaced when the file is missing or the database
    doesn't know it (any more). Two processes that start together get the same one. Raises `OperatorError`.
    """
    path = data_dir / TOKEN_FILE
    try:
        with folder_lock(private_folder(data_dir)):
            kept = _read(path)
            if kept is not None and _serves(store, kept, account_id):
                path.chmod(PRIVATE_FILE_MODE)
                return kept, False
            return _renew(store, path, account_id), True
    except OSError as error:
        raise OperatorError(f"{TOKEN_FILE}: {error.strerror}; the data directory must be writable") from error


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(TOKEN_FILE_MAX_BYTES).decode("ascii", errors="replace").strip()
    except FileNotFoundError:
        return None


def _serves(store: TokenStore, token: str, account_id: str) -> bool:
    caller = store.find(token)
    return caller is not None and caller.account_id == account_id and WRITE in caller.scopes


def _renew(store: TokenStore, path: Path, account_id: str) -> str:
    token_id, token = store.create(account_id, [WRITE])
    try:
        write_private_file(path, f"{token}\n".encode())
    except OSError:
        with contextlib.suppress(OperatorError):
            store.revoke(token_id)
        raise
    return token
