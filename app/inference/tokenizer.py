"""The tokenizer of a weights folder: text to token ids, with control tokens parsed or never yielded."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer as Encoder

from app.errors import StartupError

FILE_NAME: Final = "tokenizer.json"
BOS: Final = "<s>"
EOS: Final = "</s>"


class Tokenizer:
    """Two encoders over one vocabulary. Encoding lets other threads run and is safe from several."""

    def __init__(self, definition: dict[str, Any], weights: Path | None = None) -> None:
        """`definition` is the content of `tokenizer.json`, `weights` the folder it is in. Raises ValueError or
        KeyError when it is none.
        """
        self.weights = weights
        self._verbatim = _encoder(definition)
        self._plain = _plain(self._verbatim, definition)
        self.bos_id = self._control_id(BOS)
        self.eos_id = self._control_id(EOS)
        self.vocab_size = len(definition["model"]["vocab"])
        self._max_token_chars = max(len(token) for token in definition["model"]["vocab"])

    @classmethod
    def from_folder(cls, weights: Path) -> "Tokenizer":
        """Read `tokenizer.json`. Raises `StartupError` when it is missing or not a Mistral tokenizer."""
        path = weights / FILE_NAME
        try:
            return cls(json.loads(path.read_text("utf-8")), weights)
        except OSError as error:
            raise StartupError(
                f"{path}: {error.strerror}: the weights need {FILE_NAME} too; check `weights` in the settings"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StartupError(
                f"{path}: not a tokenizer with {BOS} and {EOS} ({_one_line(error)}); fetch the weights again"
            ) from error

    def plain(self, text: str) -> list[int]:
        """Token ids of the text as text: `<s>` and `</s>` in it stay characters, never control tokens."""
        return self.plain_all([text])[0]

    def plain_all(self, texts: Sequence[str]) -> list[list[int]]:
        """`plain` of each text, in one call."""
        return _encode(self._plain, texts)

    def verbatim(self, text: str) -> list[int]:
        """Token ids of the text with control tokens parsed; nothing is put in front."""
        return _encode(self._verbatim, [text])[0]

    def count_at_least(self, text_chars: int) -> int:
        """A lower bound of the tokens of a text of so many characters: no token is longer than the longest.

        It costs nothing, where encoding 10 MB takes seconds and some 800 MB of memory.
        """
        return -(-text_chars // self._max_token_chars)

    def _control_id(self, token: str) -> int:
        token_id = self._verbatim.token_to_id(token)
        if token_id is None:
            raise ValueError(f"no token {token}")
        return int(token_id)


def _encoder(definition: dict[str, Any]) -> Encoder:
    try:
        encoder = Encoder.from_str(json.dumps(definition))
    except Exception as error:  # the package raises plain Exception, nothing narrower
        raise ValueError(_one_line(error)) from error
    encoder.no_truncation()
    encoder.no_padding()
    return encoder


def _plain(verbatim: Encoder, definition: dict[str, Any]) -> Encoder:
    """The same vocabulary without added tokens, and without merges that would spell one.

    There are hardly ever such merges: then both encoders share the vocabulary, which is most of their memory.
    """
    control = {token["content"] for token in definition["added_tokens"]}
    model = definition["model"]
    merges = [merge for merge in model["merges"] if _merged(merge) not in control]
    if len(merges) < len(model["merges"]):
        spelled = {**definition, "added_tokens": [], "post_processor": None}
        return _encoder({**spelled, "model": {**model, "merges": merges}})
    encoder = Encoder(verbatim.model)
    if verbatim.normalizer is not None:
        encoder.normalizer = verbatim.normalizer
    if verbatim.pre_tokenizer is not None:
        encoder.pre_tokenizer = verbatim.pre_tokenizer
    return encoder


def _merged(merge: str | list[str]) -> str:
    """The token that a merge gives. Older files write the pair as one text with a space between."""
    return merge.replace(" ", "", 1) if isinstance(merge, str) else "".join(merge)


def _encode(encoder: Encoder, texts: Sequence[str]) -> list[list[int]]:
    # The fast call keeps no offsets, which halves the time and the memory of long texts.
    return [encoding.ids for encoding in encoder.encode_batch_fast(list(texts), add_special_tokens=False)]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
