"""The bound on what waits for the engine: a request counts until its first delta.

Full is answered at once with 429 code 3040, so that those already admitted keep their pace.
"""

from app.errors import OutOfCapacity

RETRY_AFTER_S = 2


class Ticket:
    """One admitted request. `started` when its first delta came; `close` in any case."""

    def __init__(self, admission: "Admission", tokens: int) -> None:
        self._admission = admission
        self._tokens = tokens
        self._waiting = True

    def started(self) -> None:
        if self._waiting:
            self._waiting = False
            self._admission.leave(self._tokens)

    close = started


class Admission:
    """At most `max_requests` waiting requests and `max_tokens` prompt tokens among them."""

    def __init__(self, max_requests: int, max_tokens: int) -> None:
        self._max_requests = max_requests
        self._max_tokens = max_tokens
        self.requests = 0
        self.tokens = 0

    def check(self, tokens: int = 0) -> None:
        """Raises OutOfCapacity when one more request with that many prompt tokens is one too many.

        A request alone is always admitted, however long: the card's limits bound it.
        """
        if self.requests >= self._max_requests:
            raise OutOfCapacity(f"{self.requests} requests are waiting.", RETRY_AFTER_S)
        if self.requests and self.tokens + tokens > self._max_tokens:
            raise OutOfCapacity(f"{self.tokens} prompt tokens are waiting.", RETRY_AFTER_S)

    def admit(self, tokens: int) -> Ticket:
        self.check(tokens)
        self.requests += 1
        self.tokens += tokens
        return Ticket(self, tokens)

    def leave(self, tokens: int) -> None:
        self.requests -= 1
        self.tokens -= tokens
