"""The outermost layer: every exception becomes an answer here, and nowhere else."""

import asyncio
import logging

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import ApiError, HostNotAllowed, InternalError, RequestAborted
from app.http import sse
from app.http.disconnect import ClientLeft
from app.http.envelope import failure
from app.http.exchange import Exchange

log = logging.getLogger(__name__)


class Boundary:
    """Turns leaves of `app.errors` into envelopes, anything else into InternalError with the cause in the log.

    Also refuses requests whose Host names none of `allowed_hosts` ("*" allows any): a page on another name that
    resolves to this machine must not reach it.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = scope["outworker.exchange"] = Exchange()
        try:
            self._check_host(scope)
            await self._app(scope, receive, send)
        except ClientLeft:
            pass
        except asyncio.CancelledError:
            # The server gives up what is running: its drain is over. The task ends here, so nobody misses the
            # cancellation, and the client hears of it.
            await _answer(RequestAborted(), exchange, scope, receive, send)
        except ApiError as error:
            await _answer(error, exchange, scope, receive, send)
        except Exception:  # the ASGI boundary: the cause goes into the log, a plain sentence to the client
            log.exception("request %s failed", exchange.request_id)
            await _answer(InternalError(), exchange, scope, receive, send)

    def _check_host(self, scope: Scope) -> None:
        if "*" in self._hosts:
            return
        names = [value for key, value in scope["headers"] if key == b"host"]
        if len(names) != 1 or _host_name(names[0]) not in self._hosts:
            raise HostNotAllowed


async def _answer(error: ApiError, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
    if exchange.streaming:
        await sse.send_last_error(error, exchange.request_id, scope, send)
    else:
        await failure(error, exchange.request_id)(scope, receive, send)


def _host_name(value: bytes) -> str:
    """`Host` without its port, lower case, IPv6 without brackets."""
    host = value.decode("latin-1").strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
