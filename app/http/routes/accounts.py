"""`/accounts`, `/memberships`, `/user` and the two `tokens/verify`: what wrangler and cf ask before anything else.

A token serves one account and there are no users, so all answer about that account, under its id.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.catalog.search import page_of
from app.http.envelope import success
from app.http.exchange import exchange_of
from app.http.request_values import whole
from app.types import Caller

PER_PAGE = 20


async def accounts(request: Request, caller: Caller) -> Response:
    return _list_of_one(request, _account(caller))


async def memberships(request: Request, caller: Caller) -> Response:
    membership = {
        "id": caller.account_id,
        "account": _account(caller),
        "status": "accepted",
        "roles": sorted(caller.scopes),
    }
    return _list_of_one(request, membership)


async def user(request: Request, caller: Caller) -> Response:
    """The address is the account's on this machine: clients show it to tell whose token they use."""
    account = caller.account_id
    return success({"id": account, "email": f"{account}@localhost"}, exchange_of(request.scope).request_id)


async def verify_token(request: Request, caller: Caller) -> Response:
    """Only a token that works gets here."""
    return success({"id": caller.account_id, "status": "active"}, exchange_of(request.scope).request_id)


def _account(caller: Caller) -> dict[str, str]:
    return {"id": caller.account_id, "name": caller.account_id, "type": "standard"}


def _list_of_one(request: Request, item: dict[str, Any]) -> Response:
    query = request.query_params
    page = page_of([item], whole(query, "page", 1, 1), whole(query, "per_page", PER_PAGE, 1))
    return success(page.items, exchange_of(request.scope).request_id, page=page)
