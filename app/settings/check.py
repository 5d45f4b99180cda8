"""Every mistake in a settings document, each as one line: key, what was expected, what was found."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from jsonschema import Draft202012Validator

from app.errors import printable
from app.settings.near import nearest
from app.settings.schema import settings_schema
from app.settings.table import PATTERNS

PASSWORD: Final = re.compile(r"(//[^/@:]*:).*@")
"""It may have any character, also those that an address must not have there."""

SHARED = (
    "engine",
    "adapters",
    "max_adapters_resident",
    "max_adapters_in_batch",
    "kv_cache_gib",
    "any_vllm_release",
    "vllm",
)
"""What entries with equal weights must agree in, because they share one engine."""

_TYPE_NAMES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a table",
}


def document_mistakes(document: Mapping[str, Any]) -> list[str]:
    """Where a file differs from the schema, every `[env.NAME]` included."""
    errors = Draft202012Validator(settings_schema()).iter_errors(document)
    lines = [line for error in errors for line in _explain(error)]
    return sorted({*lines, *_not_numbers(document)})


def model_mistakes(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the schema can't say: names given twice, engines that can't be shared, too large batches, arguments of
    another engine.
    """
    return [
        *_duplicates(models),
        *_aliases_twice(models),
        *_unequal(models),
        *_batches(models),
        *_foreign(models),
    ]


def did_you_mean(name: str, known: Iterable[str], kind: str = "") -> str:
    """`; did you mean X?`, or nothing when no known name is near. `kind` is a word before the name."""
    near = nearest(name, known)
    return f"; did you mean {kind}{' or '.join(near)}?" if near else ""


def found(value: object) -> str:
    """A value for an error text: short, on one line, without the password of an address."""
    return printable(PASSWORD.sub(r"\1***@", json.dumps(value, ensure_ascii=False, default=str)), 60)


def _explain(error: Any) -> Iterator[str]:
    """Lines for one `ValidationError`; Any, because its type leaves open what each rule guarantees."""
    path = _path(error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        for key in sorted(set(error.instance) - set(known)):
            yield f"{_join(path, printable(key))}: unknown key{did_you_mean(key, known)}"
    elif error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        yield from (f"{_join(path, key)}: expected a text, found nothing" for key in missing)
    else:
        yield f"{path or 'the file'}: expected {_expected(error)}, found {_found(error)}"


def _expected(error: Any) -> str:
    rule, value = error.validator, error.validator_value
    if rule == "enum":
        return " or ".join(f'"{choice}"' for choice in value)
    if rule == "pattern":
        return PATTERNS[value]
    if rule == "minItems":
        return "at least one entry"
    return "each entry only once" if rule == "uniqueItems" else _range(error.schema)


def _range(schema: Mapping[str, Any]) -> str:
    """The type in words and the bounds: `a whole number from 0 to 65535`."""
    bounds = ""
    if "minimum" in schema:
        bounds = f" from {schema['minimum']} to {schema['maximum']}"
    elif "exclusiveMinimum" in schema:
        bounds = f" above {schema['exclusiveMinimum']}, at most {schema['maximum']}"
    return _TYPE_NAMES[schema["type"]] + bounds


def _found(error: Any) -> str:
    if isinstance(error.instance, dict | list):
        kind = "a table" if isinstance(error.instance, dict) else "a list"
        return kind if error.instance else f"{kind} without entries"
    return found(error.instance)


def _path(parts: Iterable[str | int]) -> str:
    path = ""
    for part in parts:
        path = f"{path}[{part}]" if isinstance(part, int) else _join(path, printable(part))
    return path


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _not_numbers(value: object, path: str = "") -> Iterator[str]:
    """NaN passes every comparison of a JSON Schema, so it is looked for by itself."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _not_numbers(item, _join(path, printable(str(key))))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _not_numbers(item, f"{path}[{index}]")
    elif isinstance(value, float) and math.isnan(value):
        yield f"{path}: expected a number, found nan"


def _duplicates(models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = [model["name"] for model in models]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f"models[{index}].name: expected each card once, found {found(name)} again"


def _aliases_twice(models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Within one entry the schema has said so."""
    owners: dict[str, int] = {}
    for index, model in enumerate(models):
        for alias in dict.fromkeys(model["aliases"] or ()):
            other = owners.setdefault(alias, index)
            if other != index:
                yield (
                    f"models[{index}].aliases: expected names that no other entry has, found {found(alias)}, "
                    f"which is of models[{other}]"
                )


def _unequal(models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    first: dict[str, int] = {}
    for index, model in enumerate(models):
        other = first.setdefault(model["weights"], index)
        for key in SHARED:
            if model[key] != models[other][key]:
                expected = f"expected the same as models[{other}].{key} ({found(models[other][key])})"
                why = "because equal weights share one engine"
                yield f"models[{index}].{key}: {expected}, {why}; found {found(model[key])}"


def _batches(models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for index, model in enumerate(models):
        in_batch, resident = model["max_adapters_in_batch"], model["max_adapters_resident"]
        if resident is not None and in_batch > resident:
            yield (
                f"models[{index}].max_adapters_in_batch: expected at most {resident} "
                f"(max_adapters_resident), found {in_batch}"
            )


def _foreign(models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for index, model in enumerate(models):
        if model["vllm"] and model["engine"] not in ("vllm", "fake"):
            yield (
                f"models[{index}].vllm: expected no vLLM arguments beside engine {found(model['engine'])}, "
                f"found {found(model['vllm'])}"
            )
