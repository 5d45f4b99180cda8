"""`/health`: this process answers. `/ready`: every engine can serve, else how far the start is. Both are open."""

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from app.http.envelope import JsonResponse
from app.inference.pipeline import Pipeline

STARTING_RETRY_AFTER_S = "5"

StartStepsOf = Callable[[], Sequence[tuple[str, float]]]
"""Gives the steps of the start that were reached, each with its seconds since the beginning."""


async def health(request: Request) -> Response:
    return JsonResponse({"status": "ok"})


class Readiness:
    """200 when every pipeline can serve, else 503 with the engines' states and the steps of the start so far."""

    def __init__(self, pipelines: Sequence[Pipeline], start_steps: StartStepsOf) -> None:
        self._pipelines = pipelines
        self._start_steps = start_steps

    async def __call__(self, request: Request) -> Response:
        states = [pipeline.engine.health().state for pipeline in self._pipelines]
        if all(pipeline.ready for pipeline in self._pipelines):
            return JsonResponse({"status": "ready", "engines": states})
        headers = {"retry-after": STARTING_RETRY_AFTER_S}
        steps = [{"name": name, "at_s": round(at_s, 1)} for name, at_s in self._start_steps()]
        return JsonResponse({"status": "not ready", "engines": states, "steps": steps}, 503, headers)
