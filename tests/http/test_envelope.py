"""app/errors.py and app/http/envelope.py: every leaf of the tree in the one shape."""

from collections.abc import Iterator

import orjson
import pytest

from app import errors
from app.errors import AiError, ApiError, PlatformError, printable
from app.http.envelope import failure

REQUEST_ID = "00000000-0000-0000-0000-000000000000"
ARGUMENTS = {
    "PermissionMissing": ("ai:write",),
    "NoSuchObject": ("/client",),
    "MethodNotAllowed": ("PUT", ("GET", "HEAD")),
    "HeadersTooLarge": (1,),
    "TooManyConnections": ("1 in all",),
    "BadInput": ("Error: what",),
    "NoSuchModel": ("m",),
    "IncompleteRequest": ("valid JSON",),
    "RequestTooLarge": (1,),
    "ContextExceeded": ("N > M",),
    "FinetuneNotFound": ("f",),
    "LoraUnsupported": ("m",),
    "LoraIncompatible": ("f", "m", "n"),
    "FinetuneRefused": ("lora_A: why",),
    "FinetuneIncomplete": ("f", "adapter_config.json"),
    "FinetuneNotCreated": ("why",),
    "AssetNotTaken": ("why",),
    "InsufficientStorage": ("why",),
    "JsonModeUnmet": ("why",),
    "RequestTimeout": (1.0,),
}


def leaves(kind: type[ApiError] = ApiError) -> Iterator[type[ApiError]]:
    below = kind.__subclasses__()
    if not below:
        yield kind
    for child in below:
        yield from leaves(child)


@pytest.mark.parametrize("kind", list(leaves()), ids=lambda kind: kind.__name__)
def test_every_leaf_in_the_envelope(kind: type[ApiError]) -> None:
    error = kind(*ARGUMENTS.get(kind.__name__, ()))
    response = failure(error, REQUEST_ID)
    body = orjson.loads(response.body)
    assert response.status_code == kind.status
    assert response.headers["content-type"] == "application/json"
    assert body["success"] is False
    assert body["messages"] == []
    assert body["errors"] == [{"message": error.message(REQUEST_ID), "code": kind.code}]
    assert sorted(body) == ["errors", "messages", "result", "success"]
    if issubclass(kind, AiError):
        assert body["result"] == {}
        assert response.headers["cf-ai-req-id"] == REQUEST_ID
        assert body["errors"][0]["message"] == f"AiError: {kind.name}: {error} ({REQUEST_ID})"
    else:
        assert issubclass(kind, PlatformError)
        assert body["result"] is None
        assert "cf-ai-req-id" not in response.headers


def test_the_tree_at_the_top_names_every_leaf_with_its_code_and_status() -> None:
    drawn = (errors.__doc__ or "").splitlines()
    for kind in leaves():
        line = next(line for line in drawn if f" {kind.__name__} " in line)
        assert str(kind.code) in line
        assert str(kind.status) in line


def test_user_text_is_cleaned_and_cut() -> None:
    assert printable("a\x00b\x1b[31m\ud800é") == "ab[31mé"
    assert printable("x" * 500) == "x" * 200 + "…"
    assert printable("x" * 200) == "x" * 200
