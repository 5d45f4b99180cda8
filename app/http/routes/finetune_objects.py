"""The finetunes API's JSON: the body of a create, list queries, and finetunes as clients see them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from app.adapters.finetunes import Finetune, reason_of, state_of
from app.adapters.inspection.findings import CONFIG_FILE, WEIGHTS_FILE
from app.adapters.lifecycle import Draft
from app.adapters.rows import PUBLIC_ORDERS
from app.catalog import error_texts
from app.catalog.explain import Node, first_errors
from app.errors import BadInput
from app.http.request_values import whole

ASSETS = (CONFIG_FILE, WEIGHTS_FILE)
BUCKET = "adapters"
PAGE_MAX = 1000
CREATE_SCHEMA: Mapping[str, Any] = MappingProxyType(
    {
        "type": "object",
        "required": ["model", "name"],
        "properties": {
            "model": {"type": "string"},
            "name": {"type": "string"},
            "description": {"type": ["string", "null"]},
            "public": {"type": ["boolean", "null"]},
            "replace": {"type": ["boolean", "null"]},
        },
    }
)


@dataclass(frozen=True, slots=True)
class NewFinetune:
    """The body of a create, typed. `replace` is ours: the new one takes the place of a ready one of its name."""

    model: str
    name: str
    description: str
    public: bool
    replace: bool


class CreateParser:
    """Holds the schema compiled."""

    def __init__(self) -> None:
        self._schema = Node.compiled(dict(CREATE_SCHEMA))

    def __call__(self, body: Any) -> NewFinetune:
        """Raises `BadInput` in the validator's words. Other properties are ignored, as everywhere."""
        if not self._schema.accepts(body):
            raise BadInput(f"Error: {', '.join(first_errors(self._schema, body))}")
        return NewFinetune(
            model=body["model"],
            name=body["name"],
            description=body.get("description") or "",
            public=bool(body.get("public")),
            replace=bool(body.get("replace")),
        )


def checked_asset_name(name: str) -> str:
    """Raises `BadInput` for a name that is none of the two."""
    if name not in ASSETS:
        raise BadInput(f"Error: {error_texts.not_in_enum(('file_name',), ASSETS, name)}")
    return name


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list: at most `limit` after the first `offset`."""

    limit: int
    offset: int


def read_pages(query: Mapping[str, str]) -> Window:
    """`page` (from 1) and `per_page`; without `per_page` the first page is everything. Raises `BadInput`."""
    per_page = whole(query, "per_page", PAGE_MAX, 1)
    return Window(per_page, (whole(query, "page", 1, 1) - 1) * per_page)


def read_public_query(query: Mapping[str, str]) -> tuple[str, Window]:
    """The column to order by, and `limit` and `offset`. Raises `BadInput`."""
    order = query.get("orderBy", PUBLIC_ORDERS[0])
    if order not in PUBLIC_ORDERS:
        raise BadInput(f"Error: {error_texts.not_in_enum(('orderBy',), PUBLIC_ORDERS, order)}")
    return order, Window(whole(query, "limit", PAGE_MAX, 0), whole(query, "offset", 0, 0))


def render(finetune: Finetune) -> dict[str, Any]:
    """One of a list."""
    return {
        "id": finetune.id,
        "model": finetune.model,
        "name": finetune.name,
        "description": finetune.description,
        "public": finetune.public,
        "created_at": finetune.created_at,
        "modified_at": finetune.modified_at,
        "state": state_of(finetune),
        "reason": reason_of(finetune),
        "rank": None if isinstance(finetune, Draft) else finetune.rank,
    }


def render_whole(finetune: Finetune) -> dict[str, Any]:
    """One that was asked for by id or name."""
    if isinstance(finetune, Draft):
        assets = [name for name in ASSETS if name not in finetune.missing]
        return {**render(finetune), "findings": list(finetune.findings), "assets": assets}
    return {**render(finetune), "findings": [], "assets": list(ASSETS)}


def render_asset(draft: Draft, file_name: str, state: str) -> dict[str, Any]:
    """The answer to an upload. The asset's id is new each time: nothing else asks for it."""
    return {
        "id": str(uuid4()),
        "finetune_id": draft.id,
        "file_name": file_name,
        "bucket_name": BUCKET,
        "created_at": draft.modified_at,
        "modified_at": draft.modified_at,
        "state": state,
    }
