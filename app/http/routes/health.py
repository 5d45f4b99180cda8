"""`/health`: this process answers. `/ready`: every engine can serve. Both open, both tell nothing else."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from app.http.envelope import JsonResponse
from app.inference.pipeline import Pipeline

STARTING_RETRY_AFTER_S = "5"


async def health(request: Request) -> Response:
    return JsonResponse({"status": "ok"})


class Readiness:
    """200 when every pipeline can serve, else 503 with the engines' states."""

    def __init__(self, pipelines: Sequence[Pipeline]) -> None:
        self._pipelines = pipelines

    async def __call__(self, request: Request) -> Response:
        states = [pipeline.engine.health().state for pipeline in self._pipelines]
        if all(pipeline.ready for pipeline in self._pipelines):
            return JsonResponse({"status": "ready", "engines": states})
        headers = {"retry-after": STARTING_RETRY_AFTER_S}
        return JsonResponse({"status": "not ready", "engines": states}, 503, headers)
