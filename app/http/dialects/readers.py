"""What the parsers of the OpenAI and Anthropic dialects share: from a client's body to the card's own form.

A field is copied as it is wherever the card's schema describes it: that schema refuses it then, in Workers AI's words.
Here is refused only what the schema can't see. A null counts as absent, because these clients send nulls.
"""

from collections.abc import Collection, Iterable
from math import inf
from typing import Any

from app.catalog import error_texts
from app.catalog.error_texts import Path
from app.catalog.refusals import plain_refusal
from app.errors import BadInput, printable
from app.inference.request import PARTS_JOINT

ADAPTER_MARK = ":"
MAX_STOP_TEXTS = 16
MAX_TOKEN_IDS = 64
MAX_BAD_WORDS = 64
MAX_STOP_CHARS = 256
MAX_LOGPROBS = 20


def unsupported(path: Path, instead: str) -> BadInput:
    """`instead` says what to send."""
    return plain_refusal(f"'{error_texts.at(path)}' is not supported: {instead}")


def typed(path: Path, value: Any, kind: type, name: str) -> Any:
    """`value` itself. Raises BadInput where it is not of the type, which JSON calls `name`."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise plain_refusal(error_texts.wrong_type(path, name, value))
    return value


def read_object(body: Any, required: Collection[str]) -> dict[str, Any]:
    """A body that is an object with those properties."""
    given = body if isinstance(body, dict) else {}
    lacking = next((name for name in required if given.get(name) is None), None)
    if lacking is not None:
        path = (lacking,) if isinstance(body, dict) else ()
        raise plain_refusal(error_texts.missing((), required), path)
    return given


def read_model(body: dict[str, Any]) -> tuple[str, str | None]:
    """The model, and the adapter where it is written `model:adapter`."""
    name: str = typed(("model",), body["model"], str, "string")
    model, _, adapter = name.partition(ADAPTER_MARK)
    return model, adapter or None


def copied(body: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those properties that are there."""
    return {name: body[name] for name in names if body.get(name) is not None}


def read_limit(body: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The first of those that is there, as `max_tokens`: clients mix up the names that other paths have for it."""
    name = _limit(body, names)
    return {} if name is None else {"max_tokens": body[name]}


def sent_as(body: dict[str, Any], names: Iterable[str]) -> dict[str, str]:
    """What the client calls the field that `read_limit` reads."""
    name = _limit(body, names)
    return {} if name is None else {"max_tokens": name}


def _limit(body: dict[str, Any], names: Iterable[str]) -> str | None:
    return next(iter(copied(body, names)), None)


def read_stop(body: dict[str, Any], name: str) -> tuple[str, ...]:
    """One text or a list of them."""
    value = body.get(name)
    if isinstance(value, str):
        return (_text((name, "0"), value),)
    return read_texts(body, name, MAX_STOP_TEXTS)


def read_texts(body: dict[str, Any], name: str, most: int = MAX_BAD_WORDS) -> tuple[str, ...]:
    """A list of texts, none of them empty."""
    texts = _few(body, name, most)
    return tuple(_text((name, str(index)), text) for index, text in enumerate(texts))


def read_token_ids(body: dict[str, Any], name: str) -> tuple[int, ...]:
    """A list of numbers from 0."""
    ids = _few(body, name, MAX_TOKEN_IDS)
    return tuple(_whole((name, str(index)), token_id) for index, token_id in enumerate(ids))


def _few(body: dict[str, Any], name: str, most: int) -> list[Any]:
    value = body.get(name)
    if value is None:
        return []
    items: list[Any] = typed((name,), value, list, "array")
    if len(items) > most:
        raise plain_refusal(error_texts.too_long((name,), most))
    return items


def _text(path: Path, text: Any) -> str:
    if not typed(path, text, str, "string"):
        raise plain_refusal(error_texts.too_short(path, 1))
    if len(text) > MAX_STOP_CHARS:
        raise plain_refusal(error_texts.too_long(path, MAX_STOP_CHARS))
    return str(text)


def _whole(path: Path, value: Any, high: float = inf) -> int:
    typed(path, value, int, "integer")
    if not 0 <= value <= high:
        relation, limit = (">=", 0) if value < 0 else ("<=", high)
        raise plain_refusal(error_texts.out_of_bounds(path, relation, limit))
    return int(value)


def read_share(body: dict[str, Any], name: str) -> float:
    """A number from 0 to 1; 0 without one."""
    value = body.get(name)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise plain_refusal(error_texts.wrong_type((name,), "number", value))
    if not 0 <= value <= 1:
        relation, limit = (">=", 0) if value < 0 else ("<=", 1)
        raise plain_refusal(error_texts.out_of_bounds((name,), relation, limit))
    return float(value)


def read_count(body: dict[str, Any], name: str, high: float = inf) -> int | None:
    """A whole number from 0 to `high`; without it, what it may be at most is for others to say."""
    value = body.get(name)
    return None if value is None else _whole((name,), value, high)


def read_flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    return value is not None and bool(typed((name,), value, bool, "boolean"))


def joined(path: Path, content: Any, kinds: Collection[str], dropped: Collection[str] = ()) -> Any:
    """Parts of text as one text, null as none; anything else stays for the card's schema to judge.

    Joined here because a card may know texts only. Raises BadInput for a part that is none of `kinds`: an image that
    is silently left out gives a wrong answer. Those of `dropped` are left out.
    """
    if content is None:
        return ""
    if not isinstance(content, list):
        return content
    texts = (
        _part((*path, str(index)), part, kinds)
        for index, part in enumerate(content)
        if not _is_of(part, dropped)
    )
    return PARTS_JOINT.join(text for text in texts if text)


def _is_of(part: Any, kinds: Collection[str]) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and kind in kinds


def _part(path: Path, part: Any, kinds: Collection[str]) -> str:
    kind = typed(path, part, dict, "object").get("type")
    if kind not in kinds:
        raise plain_refusal(error_texts.not_in_enum((*path, "type"), kinds, kind))
    key = "refusal" if kind == "refusal" else "text"
    return str(typed((*path, key), part.get(key), str, "string"))


def read_items(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects, empty where there is none."""
    value = body.get(name)
    if value is None:
        return []
    items = typed((name,), value, list, "array")
    return [typed((name, str(index)), item, dict, "object") for index, item in enumerate(items)]


def named_choice(name: Any) -> dict[str, Any]:
    """The choice of one tool, as OpenAI's chat writes it."""
    return {"type": "function", "function": {"name": name}}


def function_call(identity: Any, name: Any, arguments: Any) -> dict[str, Any]:
    """A call of an earlier turn, as OpenAI's chat writes it; `arguments` is an object or its JSON text."""
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def other_type(path: Path, kinds: Collection[str], kind: Any) -> BadInput:
    shown = printable(kind) if isinstance(kind, str) else kind
    return plain_refusal(error_texts.not_in_enum((*path, "type"), kinds, shown))
