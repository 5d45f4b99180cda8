"""app/http/dialects/binding.py: the model's name, and every leaf of the errors in the binding's shape."""

from typing import Any

import orjson
import pytest

from app.errors import AiError, ApiError, BadInput, IncompleteRequest, OutOfCapacity, RequestTooLarge
from app.http.dialects.binding import BindingDialect, binding_failure, model_of
from app.http.padding import Padding
from tests.http.test_envelope import ARGUMENTS, REQUEST_ID, leaves

MODEL = "@hf/mistral/mistral-7b-instruct-v0.2"


@pytest.mark.parametrize("kind", list(leaves()), ids=lambda kind: kind.__name__)
def test_every_leaf_in_the_bindings_shape(kind: type[ApiError]) -> None:
    error = kind(*ARGUMENTS.get(kind.__name__, ()))
    response = binding_failure(error, REQUEST_ID)
    message = f"AiError: {kind.name}: {error}" if issubclass(kind, AiError) else f"AiError: {error}"
    assert orjson.loads(response.body) == {
        "name": "AiError",
        "internalCode": kind.code,
        "httpCode": kind.status,
        "message": f"{message} ({REQUEST_ID})",
        "description": str(error),
        "requestId": REQUEST_ID,
    }
    assert response.status_code == kind.status
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cf-ai-req-id"] == REQUEST_ID


def test_what_an_error_says_beside_its_body() -> None:
    assert binding_failure(OutOfCapacity(retry_after_s=5), REQUEST_ID).headers["retry-after"] == "5"
    assert binding_failure(RequestTooLarge(1), REQUEST_ID).headers["connection"] == "close"


@pytest.mark.parametrize(
    ("value", "model"),
    [
        (MODEL, MODEL),
        (f"prefix:{MODEL}", MODEL),
        (f"a/b:{MODEL}", MODEL),
        (f"{MODEL}:pirate", f"{MODEL}:pirate"),
        ("@cf/a:@cf/b", "@cf/a:@cf/b"),
        ("no-at", "no-at"),
        ("no:at", "no:at"),
    ],
)
def test_the_prefix_is_no_part_of_the_name(value: str, model: str) -> None:
    assert model_of({"cf-consn-model-id": value}) == model


def test_without_a_model() -> None:
    with pytest.raises(IncompleteRequest, match="the header cf-consn-model-id"):
        model_of({})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ([], "required properties at '/' are 'inputs'"),
        ({"options": {}}, "required properties at '/' are 'inputs'"),
        ({"inputs": {}, "options": "x"}, "Type mismatch of '/options', 'object' not in 'string'"),
        (
            {"inputs": {}, "options": {"lora": 5}},
            "Type mismatch of '/options/lora', 'string' not in 'number'",
        ),
        ({"inputs": {}, "options": {"queueRequest": True}}, "'/options/queueRequest' must be false"),
        ({"inputs": {}, "options": {"websocket": True}}, "'/options/websocket' must be false"),
    ],
)
def test_bodies_that_are_refused(body: Any, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        BindingDialect(Padding(False)).parse(MODEL, body)


@pytest.mark.parametrize(
    "options",
    [
        None,
        {},
        {"gateway": {"id": "g"}},
        {"rejectIfBusy": True, "queueRequest": False, "returnRawResponse": True},
    ],
)
def test_options_that_change_nothing(options: Any) -> None:
    asked = BindingDialect(Padding(False)).parse(MODEL, {"inputs": {"prompt": "a"}, "options": options})
    assert (asked.model, asked.body, asked.lora) == (MODEL, {"prompt": "a"}, None)


def test_lora_of_the_options_is_a_fallback() -> None:
    asked = BindingDialect(Padding(False)).parse(MODEL, {"inputs": {}, "options": {"lora": "pirate"}})
    assert (asked.body, asked.lora) == ({}, "pirate")
