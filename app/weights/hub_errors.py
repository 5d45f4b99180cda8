"""What can go wrong with a hub, each as one line that says what to change."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from app.errors import OperatorError, SettingsError, printable
from app.weights.variants import Copy


class PullFailed(OperatorError):
    """Weights could not be pulled; what arrived is kept where nothing uses it, and the next pull goes on from there."""


def check_endpoint() -> None:
    """Call before the hub's client is imported: it reads HF_ENDPOINT then, and raises ValueError for a part of an
    address that can't be read. Raises SettingsError.
    """
    address = os.environ.get("HF_ENDPOINT", "")
    try:
        _ = urlsplit(address).port
    except ValueError:
        raise SettingsError(
            f"HF_ENDPOINT: expected an address such as https://huggingface.co, found {printable(address)!r}"
        ) from None


@contextmanager
def hub_failures(copy: Copy, endpoint: str) -> Iterator[None]:
    """Raises PullFailed for what huggingface_hub, its HTTP client and the disk raise."""
    import httpx2  # noqa: PLC0415  half a second, for pulling only
    from huggingface_hub import errors  # noqa: PLC0415

    name, revision = copy.repository, copy.revision
    try:
        yield
    except errors.OfflineModeIsEnabled:
        raise PullFailed(
            "the hub is switched off here: unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE to pull"
        ) from None
    except errors.GatedRepoError:
        raise PullFailed(
            f"{name} is gated: accept its terms at {endpoint}/{name}, then log in with `hf auth login` or set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise PullFailed(
            f"{name} has no revision {revision}: the hub's branches are at {endpoint}/{name}"
        ) from None
    except errors.RemoteEntryNotFoundError as error:
        path = str(error.response.url.path).rpartition("/")[2]
        raise PullFailed(f"{name} has no file {printable(path)} at {revision}") from None
    except errors.RepositoryNotFoundError as error:
        status = error.response.status_code
        raise PullFailed(
            f"the hub answered {status} for {name}: it does not exist or needs a token: "
            "log in with `hf auth login` or set HF_TOKEN"
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        raise PullFailed(f"the hub answered {status} for {name}: {_meaning(status)}") from None
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL):
        raise _not_the_hub(endpoint) from None
    except (httpx2.TransportError, errors.LocalEntryNotFoundError) as error:
        kind = type(error).__name__
        raise PullFailed(
            f"no connection to {endpoint} ({kind}): check the network; what arrived is kept, so pull again"
        ) from None
    except httpx2.RequestError:  # redirects without an end, a body that can't be decoded
        raise _not_the_hub(endpoint) from None
    except OSError as error:
        raise PullFailed(_of_the_disk(error)) from None


@contextmanager
def hub_answers(endpoint: str) -> Iterator[None]:
    """For what is read of the hub's JSON. Raises PullFailed where it is none, or one without what the hub's has."""
    try:
        yield
    except (ValueError, KeyError, TypeError):
        raise _not_the_hub(endpoint) from None


def no_space(needed_bytes: int, free: int, folder: Path, variable: str = "HF_HOME") -> PullFailed:
    """More is to be downloaded than there is room for."""
    return PullFailed(
        f"not enough disk: {needed_bytes / 1e9:.2f} GB are to be downloaded, {free / 1e9:.2f} GB are free in "
        f"{folder}: free some, or set {variable} to a folder on another disk"
    )


def _not_the_hub(endpoint: str) -> PullFailed:
    return PullFailed(
        f"{printable(endpoint)} does not answer as the hub does: log in where the network asks for it, or correct "
        "HF_ENDPOINT or the proxy"
    )


def _meaning(status: int) -> str:
    if status in (401, 403):
        return "the token is not valid or may not read it: `hf auth login`, or set HF_TOKEN"
    return "too many requests: pull again later" if status == 429 else "try again later"


def _of_the_disk(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full: free some or set HF_HOME to another disk, then pull again: what arrived is kept"
    if error.errno is None:  # the hub's client: a body that ended early
        return f"the download broke off: {printable(str(error).splitlines()[0])}: pull again"
    return f"{error.filename or 'the cache'}: {error.strerror}: set HF_HOME to a folder that can be written"
