"""`python -m app.inference.schema_helper`: judges schemas and texts for `app.inference.schemas`.

jsonschema decides, with the draft that the schema names. No reference is ever fetched.
"""

import json
import re
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from app.errors import printable
from app.inference.helper_child import serve

MEMORY_MAX_BYTES: Final = 512 * 1024 * 1024
PATTERNS: Final = FormatChecker(("regex",))
"""In a schema: what its texts must look like is a note to most validators, as it is here."""


def work(job: dict[str, Any]) -> dict[str, Any]:
    """`{"schema"}` or `{"schema", "text"}`; the answer's `wrong` says in a few words what is, or is null."""
    try:
        return {"wrong": _fault(job["schema"], job.get("text"))}
    except Unresolvable as error:
        return {"wrong": f"the schema has no {printable(str(error.ref))}"}
    except RecursionError:
        return {"wrong": "the schema refers to itself without end"}
    except (ArithmeticError, ValueError, TypeError, re.error) as error:
        return {"wrong": f"the schema can't be applied: {printable(str(error))}"}


def _fault(schema: Any, text: str | None) -> str | None:
    kind = validator_for(schema, default=Draft202012Validator)
    if text is None:
        error = best_match(kind(kind.META_SCHEMA, format_checker=PATTERNS).iter_errors(schema))
        return error and _rule(error)
    error = best_match(kind(schema, registry=Registry()).iter_errors(json.loads(text)))
    return error and _rule(error)


def _rule(error: SchemaError | ValidationError) -> str:
    """Where and which keyword, without values: those are the client's or the model's."""
    path = "/".join(str(part) for part in error.absolute_path)
    return f"'/{printable(path)}' does not satisfy '{printable(str(error.validator))}'"


if __name__ == "__main__":
    serve(work, memory_max_bytes=MEMORY_MAX_BYTES)
