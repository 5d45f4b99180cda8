"""app.inference.constrained.json_mode and checked_json: what a client asks for, and the end of the answer to it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.errors import BadInput, JsonModeUnmet
from app.inference.constrained.constraints import JsonModeCheck
from app.inference.constrained.json_mode import grammar_of_json, read_json_format
from app.inference.constrained.schema_checker import AccountSchemas, Schemas
from app.types import Delta, FinishReason, JsonFormat, ToolCall

SCHEMA = {"type": "object", "properties": {"b": {}, "a": {}}, "required": ["a"]}


class TestReading:
    @pytest.mark.parametrize(
        ("response_format", "read"),
        [
            (None, None),
            ({}, None),
            ({"type": "text"}, None),
            ({"type": None, "json_schema": SCHEMA}, None),
            ({"type": "json_object"}, JsonFormat()),
            ({"type": "json_object", "json_schema": 5}, JsonFormat()),
            ({"type": "json_schema", "json_schema": SCHEMA}, JsonFormat(SCHEMA)),
            ({"type": "json_schema", "json_schema": {}}, JsonFormat({})),
            (
                {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}},
                JsonFormat(SCHEMA),
            ),
        ],
    )
    def test_both_forms(self, response_format: Any, read: JsonFormat | None) -> None:
        assert read_json_format(response_format) == read

    @pytest.mark.parametrize(
        ("given", "text"),
        [
            ({}, "required properties at '/response_format' are 'json_schema'"),
            ({"json_schema": None}, "required properties at '/response_format' are 'json_schema'"),
            (
                {"json_schema": True},
                "Type mismatch of '/response_format/json_schema', 'object' not in 'boolean'",
            ),
            (
                {"json_schema": {"name": "x", "schema": None}},
                "required properties at '/response_format/json_schema' are 'schema'",
            ),
            (
                {"json_schema": {"name": "x", "strict": True}},
                "required properties at '/response_format/json_schema' are 'schema'",
            ),
            (
                {"json_schema": {"strict": True, "schema": {"maxItems": 20_000}}},
                "'/response_format/json_schema/schema/maxItems' must be at most 10000",
            ),
            (
                {"json_schema": {"name": "x", "schema": {"maxItems": 20_000}}},
                "'/response_format/json_schema/schema/maxItems' must be at most 10000",
            ),
        ],
    )
    def test_refused(self, given: dict[str, Any], text: str) -> None:
        with pytest.raises(BadInput) as refused:
            read_json_format({"type": "json_schema", **given})
        assert str(refused.value) == f"Error: oneOf at '/' not met, 0 matches: {text}"

    def test_grammar(self) -> None:
        assert grammar_of_json(JsonFormat()).json_schema == '{"type":"object"}'
        assert grammar_of_json(JsonFormat({})).json_schema == "{}"
        assert (
            grammar_of_json(JsonFormat(SCHEMA)).json_schema
            == '{"type":"object","properties":{"b":{},"a":{}},"required":["a"]}'
        )


@pytest.mark.anyio
class TestTheEnd:
    @staticmethod
    async def texts(
        text: str,
        schema: dict[str, Any] | None,
        reason: FinishReason = "stop",
        calls: tuple[ToolCall, ...] = (),
    ) -> list[str]:
        """The texts that came through, three characters each; the schemas' own judge decides."""

        async def engine() -> AsyncIterator[Delta]:
            for start in range(0, len(text), 3):
                yield Delta(text[start : start + 3], [1])
            yield Delta("", [2], reason, tool_calls=calls)

        schemas = Schemas()
        judge = AccountSchemas(schemas, "a")
        passed: list[str] = []
        try:
            async for delta in JsonModeCheck(engine(), JsonFormat(schema), judge, 16):
                passed.append(delta.text)
        except JsonModeUnmet as unmet:
            passed.append(str(unmet))
        finally:
            await schemas.stop()
        return passed

    @pytest.mark.parametrize("text", ["{}", '{"a": [1, {"b": null}]}'])
    async def test_any_object(self, text: str) -> None:
        passed = await self.texts(text, None)
        assert ("".join(passed), passed[-1]) == (text, "")
        assert await self.texts(text, None, "length") == passed

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("", "is not JSON"),
            ('{"a": 1', "is not JSON"),
            ('{"a": 1} or so', "is not JSON"),
            ('{"a": NaN}', "is not JSON"),
            ('{"a": "\\ud800"}', "is not JSON"),
            ("[" * 2000 + "]" * 2000, "is not JSON"),
            ("[1]", "is not a JSON object"),
            ('"a"', "is not a JSON object"),
        ],
    )
    async def test_something_else(self, text: str, fault: str) -> None:
        *passed, last = await self.texts(text, None)
        assert ("".join(passed), last) == (text, f"The model's answer {fault}")

    async def test_with_a_schema(self) -> None:
        assert "".join(await self.texts('{"a": 1}', SCHEMA)) == '{"a": 1}'
        assert (await self.texts('{"b": 1}', SCHEMA))[
            -1
        ] == "The model's answer '/' does not satisfy 'required'"
        assert (await self.texts('{"a": [5]}', {"properties": {"a": {"items": {"not": {}}}}}))[-1] == (
            "The model's answer '/a/0' does not satisfy 'not'"
        )

    async def test_cut_off(self) -> None:
        *passed, last = await self.texts('{"a": ', SCHEMA, "length")
        assert "".join(passed) == '{"a": '
        assert last == "The model's answer was cut off at max_tokens (16): ask for more"

    async def test_an_aborted_answer_and_a_call_are_passed_on(self) -> None:
        assert (await self.texts('{"a"', SCHEMA, "abort"))[-1] == ""
        call = (ToolCall("call_1", "f", "{}"),)
        assert await self.texts("", SCHEMA, "stop", call) == [""]
        assert await self.texts("", SCHEMA, "tool_calls", call) == [""]
