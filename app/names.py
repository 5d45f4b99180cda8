"""What an account and an adapter may be called."""

import re

from app.errors import OperatorError, printable

ACCOUNT_ID_MAX_CHARS = 64
ACCOUNT_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{ACCOUNT_ID_MAX_CHARS}}}")

NAME_MAX_CHARS = 64
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{NAME_MAX_CHARS - 1}}}")
ID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.IGNORECASE)
PUBLIC = "public"
RESERVED_PREFIX = "cf-public-"


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


def looks_like_id(text: str) -> bool:
    """Whether `text` is a uuid, with or without its dashes."""
    return ID.fullmatch(text) is not None


def can_name_adapter(text: str) -> bool:
    """Whether a request's `lora` could be an id or a name at all."""
    return NAME.fullmatch(text) is not None


def checked_name(text: str) -> str:
    """`text` itself. Raises `OperatorError` when an adapter can't be called so."""
    shown = repr(printable(text))
    if not can_name_adapter(text):
        raise OperatorError(
            f"adapter name {shown}: must be 1 to {NAME_MAX_CHARS} characters out of A-Z a-z 0-9 . _ -, the "
            "first one a letter or digit; choose another name"
        )
    if looks_like_id(text):
        raise OperatorError(f"adapter name {shown}: must not be a uuid, ids are; choose another name")
    if text.lower() == PUBLIC:
        raise OperatorError(f"adapter name {shown}: is reserved; choose another name")
    if text.lower().startswith(RESERVED_PREFIX):
        raise OperatorError(
            f"adapter name {shown}: names in {RESERVED_PREFIX} are reserved; choose another name"
        )
    return text
