"""What a request asks of its engine that not every engine has: served or refused, never left out."""

from typing import Final

from app.catalog import error_texts
from app.catalog.refusals import refusal
from app.types import TextRequest

FIELDS: Final = ("min_p", "stop_token_ids", "bad_words")
OWN_GRAMMARS: Final = ("regex", "grammar", "structural_tag")
"""Kinds of `TextFormat` that are xgrammar's."""


def check_engine(
    request: TextRequest, has: frozenset[str], *, compiles_grammars: bool, vocab_size: int
) -> None:
    """Raises BadInput, naming the field."""
    sampling = request.sampling
    for name in FIELDS:
        if getattr(sampling, name) and name not in has:
            raise refusal(
                f"'/{name}' is not supported: the engine of this model does not have it: leave it out"
            )
    if any(token_id >= vocab_size for token_id in sampling.stop_token_ids):
        raise refusal(f"'/stop_token_ids' must be below {vocab_size}, the number of tokens")
    wanted = request.text_format
    if wanted is not None and wanted.kind in OWN_GRAMMARS and not compiles_grammars:
        raise refusal(
            f"'{error_texts.at(wanted.path)}' is not supported: the engine of this model does not have it: "
            "send a choice or a JSON schema"
        )


def asks_more(request: TextRequest) -> bool:
    """Whether there is anything to look at: nearly every request has nothing."""
    sampling = request.sampling
    return bool(
        sampling.min_p or sampling.stop_token_ids or sampling.bad_words or request.text_format is not None
    )
