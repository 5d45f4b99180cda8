"""The outermost layer: every exception becomes an answer here, and nowhere else."""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import (
    ApiError,
    AuthenticationFailed,
    CredentialsMalformed,
    CredentialsMissing,
    HostNotAllowed,
    InternalError,
    OutOfCapacity,
    PageCodeRefused,
)
from app.http import sse
from app.http.connection import ClientLeft
from app.http.envelope import Failure, failure
from app.http.exchange import EXCHANGE_KEY, Exchange
from app.http.host_page import host_page, wants_page
from app.http.request_values import header, headers

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PathRule:
    """What is otherwise for `methods` (None: any) on `paths`: `hosts` are allowed besides, `failure` renders errors.

    With `any_host` every Host is allowed, and none. It counts before anything is routed, so that a refused Host or
    token is rendered by it too. With a `header` it is for requests that have that one.
    """

    methods: frozenset[str] | None
    paths: re.Pattern[str]
    hosts: frozenset[str] = frozenset()
    failure: Failure = failure
    header: bytes | None = None
    any_host: bool = False

    def fits(self, scope: Scope) -> bool:
        """Whether it counts for a request on one of its paths."""
        return (self.methods is None or scope["method"] in self.methods) and (
            self.header is None or header(scope, self.header) is not None
        )


TOKENLESS = (AuthenticationFailed, CredentialsMissing, CredentialsMalformed, PageCodeRefused)
ANY_HOST = "*"
STOPPING = "The server was stopped before the answer was finished."
STOPPED_RETRY_AFTER_S = 5
MAX_HOST_CHARS = 300
"""No name is longer (RFC 1035: 255), and what is looked up stays in memory."""
KNOWN_PATHS = 256
MAX_KNOWN_PATH_CHARS = 300

NO_RULE = PathRule(frozenset(), re.compile(""))


class Boundary:
    """Turns leaves of `app.errors` into answers, anything else into InternalError with the cause in the log.

    Also refuses requests whose Host names none of `allowed_hosts` ("*" allows any): a page on another name that
    resolves to this machine must not reach it. The first of `rules` that fits a request decides what is otherwise.
    """

    def __init__(
        self,
        app: ASGIApp,
        allowed_hosts: frozenset[str],
        rules: Sequence[PathRule] = (),
        count: Callable[[str], None] = lambda what: None,
    ) -> None:
        """`count` is told of what strangers do, in words for the log."""
        self._app = app
        self._count = count
        self._hosts = allowed_hosts
        self._rules = tuple(rules)
        self._known_rules_of = lru_cache(KNOWN_PATHS)(self._rules_of)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        rule = self._rule(scope)
        exchange = scope[EXCHANGE_KEY] = Exchange(failure=rule.failure)
        try:
            if not rule.any_host:
                self._check_host(scope, rule.hosts)
            await self._app(scope, receive, send)
        except ClientLeft:
            pass
        except asyncio.CancelledError:
            # The server gives up what is running: its drain is over. The task ends here, so nobody misses the
            # cancellation, and the client hears of it.
            await _answer(OutOfCapacity(STOPPING, STOPPED_RETRY_AFTER_S), exchange, scope, receive, send)
        except ApiError as error:
            if isinstance(error, TOKENLESS):
                self._count("requests without a valid token")
            await _answer(error, exchange, scope, receive, send)
        except Exception:  # the ASGI boundary: the cause goes into the log, a plain sentence to the client
            log.exception("request %s failed", exchange.request_id)
            await _answer(InternalError(), exchange, scope, receive, send)

    def _rule(self, scope: Scope) -> PathRule:
        path = scope["path"]
        rules_of = self._known_rules_of if len(path) <= MAX_KNOWN_PATH_CHARS else self._rules_of
        return next((rule for rule in rules_of(path) if rule.fits(scope)), NO_RULE)

    def _rules_of(self, path: str) -> tuple[PathRule, ...]:
        return tuple(rule for rule in self._rules if rule.paths.fullmatch(path))

    def _check_host(self, scope: Scope, more: frozenset[str]) -> None:
        if ANY_HOST in self._hosts:
            return
        names = headers(scope, b"host")
        allowed = self._hosts | more if more else self._hosts
        if len(names) != 1 or len(names[0]) > MAX_HOST_CHARS or _host_name(names[0]) not in allowed:
            raise HostNotAllowed


async def _answer(error: ApiError, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
    if exchange.streaming:
        await sse.send_last_error(error, scope, send)
    elif isinstance(error, HostNotAllowed) and wants_page(scope):
        await host_page(scope)(scope, receive, send)
    else:
        await exchange.failure(error, exchange.request_id)(scope, receive, send)


@lru_cache(256)
def _host_name(value: str) -> str:
    """`Host` without its port, lower case, IPv6 without brackets."""
    host = value.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
