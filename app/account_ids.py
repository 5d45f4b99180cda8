"""What an account id may be."""

import re

from app.errors import OperatorError, printable

ACCOUNT_ID_MAX_CHARS = 64
ACCOUNT_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{ACCOUNT_ID_MAX_CHARS}}}")


def is_account_id(text: str) -> bool:
    """Whether `text` can name an account; it then is also safe as a folder's name."""
    return ACCOUNT_ID.fullmatch(text) is not None


def checked_account_id(text: str) -> str:
    """`text` itself. Raises `OperatorError` when it can't be an account id."""
    if not is_account_id(text):
        raise OperatorError(
            f"account id {printable(text)!r}: must be 1 to {ACCOUNT_ID_MAX_CHARS} characters out of "
            "A-Z a-z 0-9 _ -; choose another one"
        )
    return text
