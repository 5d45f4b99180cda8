"""`POST …/ai/run/{model}` and `POST …/ai/run`: the native dialect."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from app.http.dialects.native import NO_QUERY, NativeDialect, RunQuery
from app.http.request_values import flag
from app.http.text_generation import TextGeneration
from app.types import Caller


class RunHandlers:
    """The two forms of the run route."""

    def __init__(self, serving: TextGeneration, dialect: NativeDialect) -> None:
        self._serving = serving
        self._dialect = dialect

    async def model_in_path(self, request: Request, caller: Caller) -> Response:
        name = request.path_params["model"].removesuffix("/")
        if not name:
            return await self.model_in_body(request, caller)
        parse = partial(self._dialect.parse, name, _query(request))
        return await self._serving.answer(request, caller, parse, name)

    async def model_in_body(self, request: Request, caller: Caller) -> Response:
        parse = partial(self._dialect.parse_with_model, _query(request))
        return await self._serving.answer(request, caller, parse)


def _query(request: Request) -> RunQuery:
    """Most requests have no query, and parsing an empty one takes longer than routing. Raises BadInput."""
    if not request.scope["query_string"]:
        return NO_QUERY
    query = request.query_params
    return RunQuery(query.get("lora"), flag(query, "details"))
