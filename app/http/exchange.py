"""What belongs to one request while it is answered: its id, and whether the answer has begun."""

from dataclasses import dataclass, field
from uuid import uuid4

from starlette.types import Scope


@dataclass(slots=True)
class Exchange:
    """`streaming` is set when the head of an event stream went out: an error is then a last event, not a status."""

    request_id: str = field(default_factory=lambda: str(uuid4()))
    streaming: bool = False


def exchange_of(scope: Scope) -> Exchange:
    """The exchange that `app.http.boundary` put there."""
    exchange = scope["outworker.exchange"]
    assert isinstance(exchange, Exchange)
    return exchange
