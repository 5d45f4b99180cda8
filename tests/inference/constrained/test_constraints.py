"""app.inference.constrained.constraints: every part of a grammar is tried out, also where the model may leave it out."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import BadInput, JsonModeUnmet
from app.inference.constrained.constraints import Constraints
from app.inference.constrained.schema_limits import check_schema
from app.types import JsonFormat, Message, Sampling, TextRequest, Tool, ToolChoice
from tests.inference.corpus import load

pytestmark = pytest.mark.anyio

FINE = Tool("fine", "", {"type": "object", "properties": {"a": {"type": "integer"}}})
ENDLESS = {"type": "object", "$ref": "#"}


def asked(*tools: Tool, choice: ToolChoice = "auto", json_format: JsonFormat | None = None) -> TextRequest:
    return TextRequest(
        None,
        (Message("user", "a"),),
        Sampling(max_tokens=5, seed=7),
        tools=tools,
        tool_choice=choice,
        json_format=json_format,
    )


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def constraints(standin_folder: Path) -> AsyncIterator[Constraints]:
    """Starting its children takes seconds."""
    constraints = Constraints(lambda: standin_folder)
    yield constraints
    await constraints.stop()


@pytest.mark.parametrize("choice", ["auto", "required"])
async def test_one_tool_that_needs_itself(constraints: Constraints, choice: ToolChoice) -> None:
    with pytest.raises(JsonModeUnmet, match=r"of the parameters of endless: .* it needs itself"):
        await constraints.constrain(asked(FINE, Tool("endless", "", ENDLESS), choice=choice), "local")


OFFSET = next(case.schema for case in load() if case.name == "zod iso_datetime_offset")


@pytest.mark.parametrize(
    "parameters",
    [
        {"properties": {"a": {"type": "string", "pattern": "\\bfoo\\b"}}},
        {"properties": {"a": {"type": "string", "pattern": "^\\p{L}+$"}}},
        {"properties": {"a": {"type": "string", "pattern": "^(.+)-\\1(?<=x+)$"}}},
        {"properties": {"a": {"$ref": "#/$defs/a~1b"}}, "$defs": {"a/b": {"type": "integer"}}},
        {"properties": {"a": {"$ref": "#one"}}, "$defs": {"x": {"$anchor": "one", "type": "integer"}}},
        {"properties": {"a": {"enum": [f"value {number}" for number in range(3000)]}}},
        OFFSET,
    ],
)
async def test_what_is_in_a_schema_of_one_tool_is_served_beside_another(
    constraints: Constraints, parameters: dict[str, Any]
) -> None:
    """What its grammar can't say is left to the check."""
    check_schema(("tools",), parameters)
    tool = Tool("odd", "", {"type": "object", **parameters})
    request = await constraints.constrain(asked(FINE, tool), "local")
    assert request.sampling.grammar is not None


async def test_json_that_needs_itself_beside_tools(constraints: Constraints) -> None:
    with pytest.raises(JsonModeUnmet, match="it needs itself"):
        await constraints.constrain(asked(FINE, json_format=JsonFormat({"$ref": "#"})), "local")


@pytest.mark.parametrize("json_format", [None, JsonFormat(), JsonFormat({"type": "object"})])
async def test_what_is_fine_gets_its_grammar(
    constraints: Constraints, json_format: JsonFormat | None
) -> None:
    request = await constraints.constrain(asked(FINE, json_format=json_format), "local")
    assert request.sampling.seed == 7
    assert request.sampling.grammar is not None
    assert "<tool_call>" in str(request.sampling.grammar.structural_tag)


@pytest.mark.parametrize("wrong", [{"type": "object", "required": 5}, {"type": "object", "properties": []}])
async def test_parameters_that_are_no_schema(constraints: Constraints, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="'/tools/wrong/parameters' is not a JSON schema"):
        await constraints.constrain(asked(FINE, Tool("wrong", "", wrong)), "local")
