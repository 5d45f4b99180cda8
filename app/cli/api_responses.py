"""What a server answered, read with no trust in it: any bytes give a value or one line."""

from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from app.errors import OperatorError, printable

TEXT_MAX_CHARS = 2_000
AUTHENTICATION_CODE = 10000
FINETUNE_TEXTS = ("id", "name", "model", "description", "created_at", "modified_at", "reason")


class ServerRefused(OperatorError):
    """An error that the server answered; `code` is its number, 0 when it gave none."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class ForeignAnswer(OperatorError):
    """An answer that this API doesn't give."""

    def __init__(self, how: str) -> None:
        super().__init__(f"answered {how}; give the address of an Outworker server as --url")


@dataclass(frozen=True, slots=True)
class Finetune:
    """An adapter as a server or the local store tells of it. All text is printable.

    Only answers about one finetune have `rank` and `findings`; the hosted service has neither, and no `state`.
    """

    id: str
    name: str
    model: str
    description: str = ""
    public: bool = False
    created_at: str = ""
    modified_at: str = ""
    state: str = "ready"
    reason: str = ""
    findings: tuple[str, ...] = ()
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """The answer to an asset: the state of the finetune after it, and notes for its owner."""

    state: str
    notes: tuple[str, ...]


def read_envelope(response: httpx.Response, data: bytes) -> dict[str, Any]:
    """The envelope in `data`, with success true. Raises `ServerRefused` and `OperatorError`."""
    if response.is_redirect:
        location = printable(response.headers["location"].partition("?")[0])
        raise OperatorError(f"redirects to {location}; give the address itself as --url")
    try:
        envelope = orjson.loads(data)
    except orjson.JSONDecodeError:
        envelope = None
    if not isinstance(envelope, dict) or not isinstance(envelope.get("success"), bool):
        raise ForeignAnswer(f"HTTP {response.status_code} without this API's JSON")
    if not response.is_success or not envelope["success"]:
        raise _refusal(response, envelope.get("errors"))
    return envelope


def read_finetune(item: Any) -> Finetune:
    """Raises `ForeignAnswer`."""
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        raise ForeignAnswer("with no finetune where this API has one")
    rank = item.get("rank")
    return Finetune(
        **{key: _text(item, key) for key in FINETUNE_TEXTS},
        public=item.get("public") is True,
        state=_text(item, "state") or "ready",
        findings=_sentences(item.get("findings")),
        rank=rank if isinstance(rank, int) else None,
    )


def read_upload(envelope: dict[str, Any]) -> Upload:
    """Of the answer to an asset."""
    result = envelope.get("result")
    state = _text(result, "state") if isinstance(result, dict) else ""
    return Upload(state or "ready", _sentences(envelope.get("messages")))


def _refusal(response: httpx.Response, errors: Any) -> ServerRefused:
    items = [item for item in errors if isinstance(item, dict)] if isinstance(errors, list) else []
    codes = [item["code"] for item in items if isinstance(item.get("code"), int)]
    code = codes[0] if codes else 0
    text = "; ".join(_sentences(errors)) or f"HTTP {response.status_code} without a reason"
    wait = response.headers.get("retry-after", "")
    hint = f"; try again in {wait} s" if wait.isdecimal() else ""
    if code == AUTHENTICATION_CODE:
        hint = "; give a token of this account with --token-file or CLOUDFLARE_API_TOKEN"
    return ServerRefused(f"refused: {text} (code {code}){hint}", code)


def _text(item: dict[str, Any], key: str) -> str:
    value = item.get(key)
    return printable(value, TEXT_MAX_CHARS) if isinstance(value, str) else ""


def _sentences(items: Any) -> tuple[str, ...]:
    """Of a list of sentences or of `{"message": sentence}`, or of one sentence alone."""
    listed = items if isinstance(items, list) else [items]
    found = (item.get("message") if isinstance(item, dict) else item for item in listed)
    return tuple(printable(text, TEXT_MAX_CHARS) for text in found if isinstance(text, str))
