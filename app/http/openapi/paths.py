"""The paths of the document: each route and method of the route table with its description."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from starlette.routing import Route

from app.http.endpoint import OpenEndpoint, SecuredEndpoint
from app.http.envelope import REQUEST_ID_HEADER
from app.http.openapi.cards import component_name, ref
from app.http.openapi.error_responses import name_of
from app.http.openapi.operations import Answer, Envelope, Operation, operations

SECURITY = (("bearer",), ("email", "key"), ("apiKey",))  # three ways to send one token
SECURED_STATUSES = (400, 401, 403, 421, 431, 500)
OPEN_STATUSES = (421, 431, 500)
ACCOUNT_IN_PATH = "{account_id}"

_CONVERTER = re.compile(r"\{(\w+)(?::\w+)?\}")


def path_of(route: Route) -> str:
    """The route's path as OpenAPI writes it, without a slash at its end."""
    return _CONVERTER.sub(r"{\1}", route.path).rstrip("/")


def make_paths(routes: Iterable[Route]) -> dict[str, Any]:
    table = operations()
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = path_of(route)
        for method, scope in _methods(route):
            if (path, method) in table:
                described = _operation(path, method, scope, table[path, method])
                paths.setdefault(path, {})[method.lower()] = described
    return paths


def _methods(route: Route) -> Iterator[tuple[str, str | None]]:
    """Each method with the scope that it takes, None for an open one. HEAD goes with GET."""
    if isinstance(route.endpoint, SecuredEndpoint):
        for method, what in route.endpoint.methods.items():
            yield method, what.scope
    if isinstance(route.endpoint, OpenEndpoint):
        for method in route.endpoint.methods:
            if method != "HEAD":
                yield method, None


def _operation(path: str, method: str, scope: str | None, about: Operation) -> dict[str, Any]:
    parameters = [*(["AccountId"] if ACCOUNT_IN_PATH in path else []), *about.parameters]
    described = {
        "operationId": component_name(f"{method.lower()}{path}"),
        "tags": [about.tag],
        "summary": about.summary,
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in parameters],
        "responses": _responses(path, scope, about),
        "security": [{name: [scope] for name in names} for names in SECURITY] if scope else [],
    }
    if about.body is not None:
        content = {about.media_type: {"schema": ref(about.body)}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _responses(path: str, scope: str | None, about: Operation) -> dict[str, Any]:
    statuses = {*(SECURED_STATUSES if scope else OPEN_STATUSES), *about.statuses}
    if ACCOUNT_IN_PATH in path:
        statuses.add(404)
    responses: dict[str, Any] = {}
    if about.answer is not None:
        responses["200"] = _success(about.answer)
    for status in sorted(statuses):
        responses[str(status)] = {"$ref": f"#/components/responses/{name_of(status, about.failures)}"}
    if about.unready is not None:
        responses["503"] = {"description": "Not yet", "content": _json(ref(about.unready))}
    return responses


def _success(answer: Answer) -> dict[str, Any]:
    schema = _enveloped(answer)
    if answer.instead is not None:
        schema = {"anyOf": [schema, ref(answer.instead)]}
    content = _json(schema)
    if answer.events is not None:
        content["text/event-stream"] = {"schema": _event(answer.events)}
    headers = {REQUEST_ID_HEADER: {"$ref": "#/components/headers/RequestId"}}
    return {"description": "Success", "headers": headers, "content": content}


def _event(name: str) -> dict[str, Any]:
    """Each event of a stream; its data is JSON text but for the last one's.

    3.1 has no word of its own for that: 3.2 calls it `itemSchema`, and by custom `schema` stands for it before.
    """
    in_json = {"type": "string", "contentMediaType": "application/json", "contentSchema": ref(name)}
    properties = {"event": {"type": "string"}, "data": {"anyOf": [{"const": "[DONE]"}, in_json]}}
    return {"type": "object", "required": ["data"], "properties": properties}


def _enveloped(answer: Answer) -> dict[str, Any]:
    result = ref(answer.name)
    if answer.envelope is Envelope.NONE:
        return result
    if answer.envelope is not Envelope.ONE:
        result = {"type": "array", "items": result}
    around = "PageOfSuccess" if answer.envelope is Envelope.PAGE else "Success"
    return {"allOf": [ref(around), {"properties": {"result": result}}]}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
