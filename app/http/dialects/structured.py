"""`structured_outputs` of vLLM's API, its older `guided_…` names, and the `response_format` that only vLLM has."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson

from app.catalog import error_texts
from app.catalog.error_texts import Path
from app.catalog.refusals import plain_refusal
from app.http.dialects.readers import typed, unsupported
from app.inference.constrained.schema_limits import check_schema
from app.inference.constrained.text_format import check_bounds
from app.types import TextFormat

KINDS: Final = ("json", "json_object", "regex", "choice", "grammar", "structural_tag")
OLDER: Final[Mapping[str, str]] = MappingProxyType(
    {f"guided_{kind}": kind for kind in ("json", "regex", "choice", "grammar")}
)
OPTIONS: Final = ("disable_any_whitespace", "disable_additional_properties", "whitespace_pattern")
ALSO: Final = ("response_format", "tools")
"""Says what the answer must be too."""


def read_structured(given: dict[str, Any]) -> tuple[dict[str, Any] | None, TextFormat | None]:
    """A `response_format` for what is JSON, a TextFormat for what is text; None where it is not asked for.

    Raises BadInput where more than one thing is asked for.
    """
    asked = [*_structured(given), *_older(given), *_structural_tags(given)]
    if not asked:
        return None, None
    (path, kind, value), *others = asked
    if others:
        raise plain_refusal(
            f"'{error_texts.at(others[0][0])}' does not go with '{error_texts.at(path)}': send one of them"
        )
    for name in ALSO:
        if given.get(name) and path[0] != name and given[name] != {"type": "text"}:
            raise plain_refusal(f"'/{path[0]}' does not go with '/{name}': send one of them")
    return _READERS[kind](path, value)


def _structured(given: dict[str, Any]) -> list[tuple[Path, str, Any]]:
    root: Path = ("structured_outputs",)
    if given.get("structured_outputs") is None:
        return []
    wanted = typed(root, given["structured_outputs"], dict, "object")
    for name, value in wanted.items():
        if name not in KINDS and value:
            why = "leave it out" if name in OPTIONS else f"send one of {', '.join(KINDS)}"
            raise unsupported((*root, _shown(name)), why)
    return [((*root, kind), kind, wanted[kind]) for kind in KINDS if wanted.get(kind) is not None]


def _older(given: dict[str, Any]) -> list[tuple[Path, str, Any]]:
    return [((name,), kind, given[name]) for name, kind in OLDER.items() if given.get(name) is not None]


def _structural_tags(given: dict[str, Any]) -> list[tuple[Path, str, Any]]:
    wanted = given.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "structural_tag":
        return [(("response_format",), "structural_tag", wanted)]
    return []


def _shown(name: str) -> str:
    return name if name in OPTIONS else "…"


def _json(path: Path, value: Any) -> tuple[dict[str, Any], None]:
    """A schema, or its text."""
    schema = _parsed(path, value) if isinstance(value, str) else value
    typed(path, schema, dict, "object")
    return {"type": "json_schema", "json_schema": {"name": "", "schema": schema}}, None


def _json_object(path: Path, value: Any) -> tuple[dict[str, Any] | None, None]:
    return ({"type": "json_object"} if typed(path, value, bool, "boolean") else None), None


def _choice(path: Path, value: Any) -> tuple[None, TextFormat]:
    texts = typed(path, value, list, "array")
    if not texts:
        raise plain_refusal(error_texts.too_short(path, 1))
    for index, text in enumerate(texts):
        if not typed((*path, str(index)), text, str, "string"):
            raise plain_refusal(error_texts.too_short((*path, str(index)), 1))
    return None, _bounded(TextFormat("choice", tuple(dict.fromkeys(texts)), path))


def _regex(path: Path, value: Any) -> tuple[None, TextFormat]:
    return None, _bounded(TextFormat("regex", _text(path, value), path))


def _grammar(path: Path, value: Any) -> tuple[None, TextFormat]:
    return None, _bounded(TextFormat("grammar", _text(path, value), path))


def _structural_tag(path: Path, value: Any) -> tuple[None, TextFormat]:
    """An object or its text, of the newer form (`format`) or the older one (`structures` and `triggers`)."""
    tag = typed(path, _parsed(path, value) if isinstance(value, str) else value, dict, "object")
    if not ("format" in tag or {"structures", "triggers"} <= tag.keys()):
        raise plain_refusal(error_texts.missing(path, ("format",)))
    check_schema(path, tag)
    written = orjson.dumps({**tag, "type": "structural_tag"}).decode()
    return None, TextFormat("structural_tag", written, path)


def _text(path: Path, value: Any) -> str:
    if not typed(path, value, str, "string"):
        raise plain_refusal(error_texts.too_short(path, 1))
    return str(value)


def _parsed(path: Path, text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise plain_refusal(f"'{error_texts.at(path)}' is not JSON: send an object") from None


def _bounded(wanted: TextFormat) -> TextFormat:
    check_bounds(wanted)
    return wanted


_READERS: Final = MappingProxyType(
    {
        "json": _json,
        "json_object": _json_object,
        "choice": _choice,
        "regex": _regex,
        "grammar": _grammar,
        "structural_tag": _structural_tag,
    }
)
