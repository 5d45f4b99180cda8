"""What OpenAI's dialects and vLLM's server have beside a card's own fields."""

from typing import Any, Final

from app.http.dialects.readers import (
    other_type,
    read_count,
    read_flag,
    read_share,
    read_stop,
    read_texts,
    read_token_ids,
)
from app.http.dialects.structured import read_structured
from app.inference.request import Extras

FORMATS: Final = ("text", "json_object", "json_schema", "structural_tag")


def read_extras(
    given: dict[str, Any], logprobs: int | None, response_format: Any = None
) -> tuple[Extras, dict[str, Any]]:
    """The extras, and the `response_format` as part of a body where the answer is JSON.

    `ignore_eos`, `min_tokens` and more are vLLM's, which its clients send beside OpenAI's fields.
    """
    wanted, text_format = read_structured({**given, "response_format": response_format})
    extras = Extras(
        read_stop(given, "stop"),
        logprobs,
        read_flag(given, "ignore_eos"),
        read_count(given, "min_tokens") or 0,
        one_call=given.get("parallel_tool_calls") is False,
        may_be_cut=True,
        min_p=read_share(given, "min_p"),
        stop_token_ids=read_token_ids(given, "stop_token_ids"),
        bad_words=read_texts(given, "bad_words"),
        text_format=text_format,
    )
    wanted = wanted or _of_json(response_format)
    return extras, {} if wanted is None else {"response_format": wanted}


def _of_json(response_format: Any) -> Any:
    """None for text: OpenAI's forms are wider than the published ones. What is no object is the schema's to refuse."""
    if not isinstance(response_format, dict):
        return response_format
    kind = response_format.get("type")
    if kind is not None and kind not in FORMATS:
        raise other_type(("response_format",), FORMATS, kind)
    return response_format if kind in ("json_object", "json_schema") else None


def seeded(given: dict[str, Any]) -> dict[str, Any]:
    """Mistral's clients call the seed `random_seed`."""
    if given.get("seed") is None and given.get("random_seed") is not None:
        return {**given, "seed": given["random_seed"]}
    return given
