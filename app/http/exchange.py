"""What belongs to one request while it is answered: its id, how an error looks, whether the answer has begun."""

from dataclasses import dataclass, field
from uuid import uuid4

from starlette.types import Scope

from app.http.envelope import ErrorEvent, Failure, error_event, failure


@dataclass(slots=True)
class Exchange:
    """`failure` renders an error; where the dialect has a shape of its own, whoever knows it first puts it there.

    `streaming` is set when the head of an event stream went out: an error is then a last event, not a status, and
    `error_event` renders it.
    """

    request_id: str = field(default_factory=lambda: str(uuid4()))
    failure: Failure = failure
    error_event: ErrorEvent = error_event
    streaming: bool = False


def exchange_of(scope: Scope) -> Exchange:
    """The exchange that `app.http.boundary` put there."""
    exchange = scope["outworker.exchange"]
    assert isinstance(exchange, Exchange)
    return exchange
