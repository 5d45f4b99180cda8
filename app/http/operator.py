"""What an operator would read on the terminal, as an answer to a client."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import (
    AdapterRefused,
    AiError,
    FinetuneRefused,
    InsufficientStorage,
    OperatorError,
    StorageError,
)


@contextmanager
def answered_as(leaf: type[AiError]) -> Iterator[None]:
    """Raises `FinetuneRefused`, `InsufficientStorage` or else `leaf` in place of an `OperatorError`."""
    try:
        yield
    except AdapterRefused as error:
        raise FinetuneRefused(str(error)) from error
    except StorageError as error:
        raise InsufficientStorage(str(error)) from error
    except OperatorError as error:
        raise leaf(str(error)) from error
