"""The OpenAPI 3.1 document: the model cards and the route table, described by `app.http.openapi.operations`."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from starlette.routing import Route

from app.catalog.cards import ModelCard
from app.http.openapi.cards import card_schemas
from app.http.openapi.draft07 import modern
from app.http.openapi.error_responses import failure_responses
from app.http.openapi.paths import make_paths
from app.resources import resource

SCHEMAS = resource("schemas")
COMPONENTS_FILE = "openapi.schema.json"
ENVELOPE_FILE = "envelope.schema.json"
OPENAPI_VERSION = "3.1.0"
DESCRIPTION = (
    "Cloudflare's Workers AI for text, served on your own hardware. Paths of finetunes, of the catalog and of the "
    "other APIs may also be written with a slash at their end. A model's name in a path may be written as it is or "
    "percent-encoded."
)


def make_document(cards: Sequence[ModelCard], routes: Iterable[Route], version: str) -> dict[str, Any]:
    """Only routes of the table are in it, so it can't promise what is not served."""
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "Outworker",
            "version": version,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": make_paths(routes),
        "components": _components(cards),
    }


def _components(cards: Sequence[ModelCard]) -> dict[str, Any]:
    components: dict[str, Any] = _read(COMPONENTS_FILE)["components"]
    schemas = {**components["schemas"], "Envelope": modern(_read(ENVELOPE_FILE)), **card_schemas(cards)}
    return {**components, "schemas": schemas, "responses": failure_responses()}


def _read(file: str) -> Any:
    return orjson.loads((SCHEMAS / file).read_bytes())
