"""`python -m tests.inference.corpus.models` prints what pydantic and FastAPI make of models as their users write them.

.venv/bin/python -m tests.inference.corpus.models > tests/inference/corpus/pydantic.jsonl
"""

import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

from fastapi import FastAPI
from pydantic import (
    AnyUrl,
    Base64Str,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    NonNegativeInt,
    PositiveInt,
    RootModel,
    StringConstraints,
    TypeAdapter,
    conint,
    conlist,
    constr,
)

Short = Annotated[str, StringConstraints(max_length=20)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$", max_length=30)]
Percent = Annotated[int, Field(ge=0, le=100)]


class Color(StrEnum):
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1
    HIGH = 10


class Address(BaseModel):
    street: Short
    zip_code: Annotated[str, Field(pattern=r"^\d{5}$")]
    country: Literal["DE", "FR", "US"] = "DE"


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=30)]
    age: Annotated[int, Field(ge=0, lt=150)]
    address: Address | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=0, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool = True


class Zoo(BaseModel):
    pets: Annotated[
        list[Annotated[Cat | Dog, Field(discriminator="kind")]], Field(min_length=1, max_length=2)
    ]


class Tree(BaseModel):
    label: Short
    children: Annotated[list["Tree"], Field(max_length=2)] = []


class Step(BaseModel):
    explanation: Annotated[str, Field(max_length=60)]
    output: Short


class Reasoning(BaseModel):
    steps: Annotated[list[Step], Field(min_length=1, max_length=3)]
    answer: Short


class Item(BaseModel):
    sku: Annotated[str, Field(pattern=r"^[A-Z]{3}-\d{4}$")]
    price: Annotated[Decimal, Field(ge=0, le=1000, decimal_places=2, max_digits=6)]
    quantity: PositiveInt


class Order(BaseModel):
    id: UUID
    placed: datetime
    items: Annotated[list[Item], Field(min_length=1, max_length=2)]
    color: Color
    note: Short | None = Field(default=None, description="What the courier should know.")


class Extraction(BaseModel):
    entities: Annotated[list[tuple[Short, Literal["person", "place", "thing"]]], Field(max_length=3)]
    language: Annotated[str, Field(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")]


class Search(BaseModel):
    """What to look for."""

    query: Short
    top_k: Annotated[int, Field(gt=0, le=50, multiple_of=5)] = 10
    since: date | None = None
    filters: dict[Literal["lang", "site"], Short] = {}


class Free(BaseModel):
    title: str
    tags: list[str]


class Aliased(BaseModel):
    first: Annotated[Short, Field(alias="first-name")]
    second: Annotated[Short, Field(alias='the "second"')]
    third: Annotated[bool, Field(alias="$third")]


class Codes(RootModel[Annotated[list[conint(ge=100, le=599)], Field(max_length=3)]]):  # type: ignore[misc]
    pass


class Wide(BaseModel):
    a: Percent | None = None
    b: Percent | None = None
    c: Percent | None = None
    d: Percent | None = None
    e: Percent | None = None
    f: Percent | None = None
    g: Short | None = None
    h: bool | None = None


MODELS = (
    Address,
    Person,
    Cat,
    Dog,
    Zoo,
    Tree,
    Step,
    Reasoning,
    Item,
    Order,
    Extraction,
    Search,
    Free,
    Aliased,
    Codes,
    Wide,
)

FIELDS: dict[str, Any] = {
    "str": str,
    "short": Short,
    "exact": constr(min_length=4, max_length=4),
    "slug": Slug,
    "lookahead": Annotated[str, Field(json_schema_extra={"pattern": r"^(?=.*\d)(?=.*[a-z]).{6,12}$"})],
    "email": Annotated[str, Field(json_schema_extra={"format": "email"})],
    "url": AnyUrl,
    "http_url": HttpUrl,
    "base64": Base64Str,
    "uuid": UUID,
    "date": date,
    "datetime": datetime,
    "time": time,
    "timedelta": timedelta,
    "ipv4": IPv4Address,
    "ipv6": IPv6Address,
    "int": int,
    "float": float,
    "bool": bool,
    "none": None,
    "decimal": Decimal,
    "decimal_places": Annotated[Decimal, Field(max_digits=5, decimal_places=2, ge=0)],
    "percent": Percent,
    "positive": PositiveInt,
    "non_negative": NonNegativeInt,
    "ratio": Annotated[float, Field(ge=0, le=1)],
    "open": Annotated[float, Field(gt=0, lt=0.5)],
    "celsius": Annotated[float, Field(ge=-273.15, le=1000)],
    "even": Annotated[int, Field(multiple_of=2, ge=-10, le=10)],
    "quarter": Annotated[float, Field(multiple_of=0.25, ge=0, le=3)],
    "color": Color,
    "level": Level,
    "literal": Literal["a", 1, None, True],
    "optional": Optional[Short],  # noqa: UP045
    "union": Short | int | bool | None,
    "list": conlist(Short, max_length=3),
    "list_int": conlist(int, min_length=2, max_length=4),
    "set": Annotated[set[Color], Field(max_length=2)],
    "set_int": Annotated[set[Percent], Field(max_length=4)],
    "frozenset": Annotated[frozenset[Literal["x", "y", "z"]], Field(min_length=1, max_length=3)],
    "tuple": tuple[Short, int, bool],
    "tuple_any": Annotated[tuple[int, ...], Field(max_length=3)],
    "dict": Annotated[dict[Short, Percent], Field(max_length=3)],
    "dict_min": Annotated[dict[Short, bool], Field(min_length=1, max_length=2)],
    "dict_enum": dict[Color, Percent],
    "dict_pattern": Annotated[dict[Slug, bool], Field(max_length=2)],
    "any": Any,
    "nested": dict[Literal["k"], conlist(Percent, max_length=2)],  # type: ignore[misc]
    "bytes": Annotated[bytes, Field(max_length=10)],
    "model": Address,
    "models": conlist(Address, max_length=2),
    "union_models": Cat | Dog | Address,
    "discriminated": Annotated[Cat | Dog, Field(discriminator="kind")],
    "self": Tree,
}


class OrderPatch(BaseModel):
    color: Color | None = None
    note: Annotated[str, Field(max_length=40)] | None = None


def main() -> None:
    for name, schema in (*_models(), *_fields(), *_openapi()):
        print(json.dumps({"name": name, "schema": schema}, ensure_ascii=False))


def _models() -> Iterator[tuple[str, Any]]:
    for model in MODELS:
        yield f"pydantic {model.__name__}", model.model_json_schema()
        yield f"pydantic {model.__name__}, as written", model.model_json_schema(mode="serialization")


def _fields() -> Iterator[tuple[str, Any]]:
    for name, field in FIELDS.items():
        one = TypeAdapter(field).json_schema()
        definitions = one.pop("$defs", None)
        wrapped = {"type": "object", "properties": {name: one}, "required": [name]}
        yield f"pydantic {name}", {**wrapped, "$defs": definitions} if definitions else wrapped


def _openapi() -> Iterator[tuple[str, Any]]:
    """Each component of an OpenAPI document, with those that it refers to in their place."""
    app = FastAPI()
    for model in (Person, Zoo, Order, Tree, Search, Extraction, Reasoning, OrderPatch):

        @app.post(f"/{model.__name__}")
        def take(body: model) -> None:  # type: ignore[valid-type]
            """Nothing is done with it."""

    document = app.openapi()
    components = {"schemas": document["components"]["schemas"]}
    for name in components["schemas"]:
        yield f"openapi {name}", {"$ref": f"#/components/schemas/{name}", "components": components}


if __name__ == "__main__":
    main()
