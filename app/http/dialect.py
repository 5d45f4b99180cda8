"""What a dialect is: a parser from a body to the card's own form, and a renderer of the run. Nothing else."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.responses import Response

from app.catalog.error_texts import first_place
from app.errors import BadInput
from app.http.envelope import ErrorEvent, error_event
from app.http.padding import Padding
from app.inference.pipeline import Run
from app.inference.request import NO_EXTRAS, Extras
from app.types import Delta

Frames = Generator[bytes, Delta | None, None]
"""A stream's bytes, none or several events at a time: first its opening, then what each delta that is sent in makes,
and after None the end. No coroutine, because this is the path of every token.
"""


class Reply(Protocol):
    """How one request is answered. Made by the dialect's parser, which knows what the client asked for."""

    async def json(self, run: Run) -> Any:
        """The whole answer. Raises leaves of `app.errors`."""

    def events(self, run: Run) -> Frames:
        """The event stream; each event ends with its empty line. Raises leaves of `app.errors`."""

    def response(self, result: Any, request_id: str, hints: Sequence[str]) -> Response:
        """What `json` gave as a response; `hints` are sentences for whoever reads."""


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """`body` is in the form that the card's schema describes and not yet checked against it.

    `extras` is what that schema has no field for; `lora` stands in for a body without one. `unchecked` joins the body
    after that check: properties whose form is wider in this dialect than in the schema. `error_event` renders an error
    inside a stream. `sent_as` has the client's name of a property whose name is another in `body`.
    """

    model: str
    body: Any
    reply: Reply
    lora: str | None = None
    extras: Extras = NO_EXTRAS
    unchecked: dict[str, Any] = field(default_factory=dict)
    error_event: ErrorEvent = error_event
    sent_as: Mapping[str, str] = field(default_factory=dict)

    def in_clients_words(self, error: BadInput) -> BadInput:
        """The error with the path of the field at fault as the client has it."""
        path = error.path or first_place(str(error))
        if path and path[0] in self.sent_as:
            error.path = (self.sent_as[path[0]],)
        return error


@dataclass(frozen=True, slots=True)
class TextRoute:
    """Where a dialect is asked: `path` is below the account. With `count` the answer is what that makes of the number of
    the prompt's tokens, and nothing is generated.
    """

    path: str
    parse: Callable[[Any], ParsedRequest]
    count: Callable[[int], dict[str, Any]] | None = None


Dialect = Callable[[Padding], Sequence[TextRoute]]
"""A dialect as `app.http.routes.compatible_apis` knows it."""
