"""Which tokens no answer shows: no grammar may be written with them, though it takes `<unk>` for five characters."""

from typing import Any


def control_tokens(tokenizer: Any) -> set[int]:
    """Ids of the control tokens of one of transformers' tokenizers, those that end an answer among them."""
    return {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
