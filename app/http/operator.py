"""What an operator would read on the terminal, as an answer to a client."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import (
    AdapterRefused,
    AiError,
    FinetuneRefused,
    InsufficientStorage,
    InternalError,
    OperatorError,
    StartupError,
    StorageError,
)

log = logging.getLogger(__name__)


@contextmanager
def raised_as(leaf: Callable[[str], AiError]) -> Iterator[None]:
    """Raises `FinetuneRefused`, `InsufficientStorage`, `InternalError` or else `leaf` in place of an `OperatorError`."""
    try:
        yield
    except AdapterRefused as error:
        raise FinetuneRefused(str(error)) from error
    except StartupError as error:  # about this machine, and not for strangers
        log.error("%s", error)
        raise InternalError from error
    except StorageError as error:
        log.warning("%s", f"{error}: {error.figures}" if error.figures else error)
        raise InsufficientStorage(str(error)) from error
    except OperatorError as error:
        raise leaf(str(error)) from error
