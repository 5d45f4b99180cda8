"""`/openapi.json`: valid, complete, and what a tool that knows nothing else makes of it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.http.openapi.operations import operations
from app.http.openapi.paths import path_of
from app.http.routes.playground import PageFile
from tests.conftest import CF, HF, Serve
from tests.live.server import LiveServer
from tests.server.test_process import FAKE

PATH = "/openapi.json"
EXAMPLES = 200  # for each operation
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
FINETUNES = ["formal", "unfinished", "nobody"]


@pytest.mark.anyio
async def test_it_is_open_valid_and_made_once(serve: Serve) -> None:
    async with serve() as served:
        del served.client.headers["authorization"]
        answer = await served.client.get(PATH)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert (await served.client.get(PATH)).content == answer.content
    document = answer.json()
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


@pytest.mark.anyio
async def test_the_cards_are_in_it_as_published(serve: Serve) -> None:
    async with serve() as served:
        schemas = (await served.client.get(PATH)).json()["components"]["schemas"]
        assert schemas["ServedModel"]["enum"] == [CF, HF]
        for name in (CF, HF):
            path = f"/client/v4/accounts/local/ai/models/schema?model={name}"
            published = (await served.client.get(path)).json()["result"]
            component = name.removeprefix("@").replace("/", ".")
            for side in ("input", "output"):
                assert schemas[f"{component}.{side}"] == published[side]
                assert {"$ref": f"#/components/schemas/{component}.{side}"} in schemas[
                    f"Text{side.capitalize()}"
                ]["anyOf"]


@pytest.mark.anyio
async def test_every_route_and_method_is_described(serve: Serve) -> None:
    """A route's methods are what it does not answer with 7001; each must be in the document, and nothing else."""
    async with serve() as served:
        document = (await served.client.get(PATH)).json()
        told = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
        found = set()
        for route in served.app.routes:
            if isinstance(route.endpoint, PageFile):
                continue  # a page is for people
            target = route.path.replace("{account_id}", "local").replace("{model:model_name}", "none")
            for method in METHODS:
                answer = await served.client.request(method, target.replace("{finetune}", "none"))
                if answer.status_code != 405 or _code(answer.json()) != 7001:
                    found.add((path_of(route), method))
    assert found == told
    assert found == set(operations())


def _code(body: dict[str, Any]) -> int:
    """In the envelope, and in the binding's shape."""
    return int(body["internalCode"] if "internalCode" in body else body["errors"][0]["code"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    live = LiveServer(tmp_path_factory.mktemp("openapi") / "data", FAKE).start().wait_ready()
    yield live
    assert live.stop() == 0


@pytest.mark.soak
def test_schemathesis(server: LiveServer, times: Callable[[int], int]) -> None:
    document = server.client.get(PATH).json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.generation.with_security_parameters = False
    session = requests.Session()
    seen: dict[str, set[int]] = {}
    new = {"model": HF, "name": "unfinished"}

    def run(operation: schemathesis.APIOperation[Any, Any, Any, Any]) -> None:
        modes = [
            operation.as_strategy(mode, path_parameters=_known(operation.path, finetune))
            for mode in schemathesis.GenerationMode
            for finetune in (FINETUNES if "{finetune}" in operation.path else FINETUNES[:1])
        ]

        @hypothesis_settings(
            max_examples=times(EXAMPLES),
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(st.one_of(modes))
        def send(case: schemathesis.Case[Any]) -> None:
            response = case.call(base_url=server.url, session=session, headers=server.authorization)
            seen.setdefault(operation.label, set()).add(response.status_code)
            case.validate_response(response, checks=CHECKS)

        server.client.post("/client/v4/accounts/local/ai/finetunes", json=new)
        send()

    with session:
        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            run(found.ok())
    assert len(seen) == len(operations())
    succeeded = {label for label, statuses in seen.items() if 200 in statuses}
    assert len(succeeded) > len(seen) / 2, seen


def _known(path: str, finetune: str) -> dict[str, str]:
    """Values without which nearly every example would be of another account, or of no finetune."""
    known = {"account_id": "local", "finetune": finetune}
    return {name: value for name, value in known.items() if f"{{{name}}}" in path}
