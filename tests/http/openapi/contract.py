"""Answers held against the OpenAPI document, by nothing but the document."""

import re
from collections import defaultdict
from typing import Any

import httpx
import orjson
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

ROOT = "urn:document"
EVENTS = "text/event-stream"
PARAMETER = re.compile(r"\\\{(\w+)\\\}")


class Contract:
    """`seen` are the statuses that were checked, by operation."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.seen: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        self._registry = Registry().with_resource(ROOT, DRAFT202012.create_resource(document))
        paths = sorted(document["paths"], key=lambda path: path.count("{"))
        self._paths = [(re.compile(_pattern(path)), path) for path in paths]

    def operation(self, method: str, path: str) -> tuple[str, str]:
        """The document's path, and the method."""
        found = [known for pattern, known in self._paths if pattern.fullmatch(path.rstrip("/"))]
        known = next(known for known in found if method.lower() in self.document["paths"][known])
        return known, method.lower()

    def check(self, answer: httpx.Response) -> None:
        """Status, Content-Type, headers, body and events are as the document says."""
        path, method = self.operation(answer.request.method, answer.request.url.path)
        told = self.document["paths"][path][method]["responses"]
        assert str(answer.status_code) in told, (method, path, answer.status_code, answer.text)
        response = self._followed(told[str(answer.status_code)])
        media_type = response["content"][answer.headers["content-type"]]
        for name, header in response.get("headers", {}).items():
            if name in answer.headers:
                text = answer.headers[name]
                self._validate(self._followed(header)["schema"], int(text) if text.isdigit() else text)
        if answer.headers["content-type"] == EVENTS:
            for event in data_of(answer.text):
                self._check_event(media_type["schema"], event)
        else:
            self._validate(media_type["schema"], answer.json())
        self.seen[path, method].add(answer.status_code)

    def _check_event(self, schema: dict[str, Any], data: str) -> None:
        """`contentSchema` says what the JSON in `data` is; validators leave it alone."""
        self._validate(schema, {"data": data})
        done, in_json = schema["properties"]["data"]["anyOf"]
        if data != done["const"]:
            self._validate(in_json["contentSchema"], orjson.loads(data))

    def _followed(self, item: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in item:
            *_, kind, name = item["$ref"].split("/")
            item = self.document["components"][kind][name]
        return item

    def _validate(self, schema: dict[str, Any], value: Any) -> None:
        rooted = orjson.loads(orjson.dumps(schema).replace(b'"#/', f'"{ROOT}#/'.encode()))
        formats = Draft202012Validator.FORMAT_CHECKER
        Draft202012Validator(rooted, registry=self._registry, format_checker=formats).validate(value)


def data_of(stream: str) -> list[str]:
    """The data of each event."""
    lines = [line for line in stream.splitlines() if line.startswith("data: ")]
    return [line.removeprefix("data: ") for line in lines]


def _pattern(path: str) -> str:
    """A model's name has slashes."""
    return PARAMETER.sub(lambda found: ".+" if found[1] == "model" else "[^/]+", re.escape(path))
