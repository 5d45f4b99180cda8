"""Where errors are OpenAI's or Anthropic's too, by the path alone: it may be all that is known of a request."""

import re
from typing import Final
from urllib.parse import unquote

from app.http.envelope import Failure, failure
from app.http.error_objects import messages_failure, openai_failure

# A base URL with a slash at its end makes two of one: that is no route, and whose client asked is known all the same.
MESSAGES: Final = re.compile(r"/client/v4/accounts/[^/]+/+ai/+v1/+messages(/.*)?", re.DOTALL)
COMPATIBLE: Final = re.compile(r"/client/v4/accounts/[^/]+/+ai/+v1(/.*)?", re.DOTALL)
_TARGET: Final = re.compile(r"(?:https?://[^/?]+)?([^?]*)", re.IGNORECASE)


def failure_at(target: bytes) -> Failure:
    """For a request that is refused before it is one; `target` is empty where that is not known either."""
    found = _TARGET.match(target.decode("latin-1"))
    path = unquote(found[1]) if found is not None else ""
    if MESSAGES.fullmatch(path):
        return messages_failure
    return openai_failure if COMPATIBLE.fullmatch(path) else failure
