"""Who is calling, and may they. The one place that reads credentials."""

import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.types import Scope

from app.errors import (
    AuthenticationFailed,
    CredentialsMalformed,
    CredentialsMissing,
    NoSuchObject,
    PermissionMissing,
)
from app.http.request_values import header, headers
from app.names import is_account_id
from app.types import Caller

FindCaller = Callable[[str], Awaitable[Caller | None]]

_BEARER = re.compile(r"bearer +([\x21-\x7e]{1,512})", re.IGNORECASE)


async def authenticate(request: Request, find_caller: FindCaller, scope: str) -> Caller:
    """The caller, whose token serves the account in the path (where there is one) and carries `scope`.

    A token is refused the same way whether it is unknown, revoked or another account's.
    """
    token = _token(request.scope)
    account_id = request.path_params.get("account_id")
    if account_id is not None and not is_account_id(account_id):
        raise NoSuchObject(request.url.path)
    caller = await find_caller(token)
    if caller is None or account_id not in (None, caller.account_id):
        raise AuthenticationFailed
    if scope not in caller.scopes:
        raise PermissionMissing(scope)
    return caller


def _token(scope: Scope) -> str:
    """From `Authorization: Bearer`, from the pair X-Auth-Email and X-Auth-Key that older clients send, or from x-api-key.

    Clients of Anthropic's API send the last one.
    """
    given = headers(scope, b"authorization")
    if not given:
        key = header(scope, b"x-auth-key")
        if key and header(scope, b"x-auth-email"):
            return key
        if api_key := header(scope, b"x-api-key"):
            return api_key
        raise CredentialsMissing
    match = _BEARER.fullmatch(given[0].strip())
    if match is None or len(given) > 1:
        raise CredentialsMalformed
    return match[1]
