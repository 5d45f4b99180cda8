"""What the engine knows of the tokenizer: how tokens become text, which ones end an answer, what grammars may use."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from app.engines.checkpoint import TOKENIZER_FILE
from app.engines.logprobs import shown, token_texts
from app.engines.transformers.grammar import GrammarCompiler
from app.engines.transformers.sampler import Drawn
from app.types import TokenLogprob


class Vocabulary:
    """Of one weights folder, with its `config.json`."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        ends = config["eos_token_id"]
        self.end_ids = frozenset(ends if isinstance(ends, list) else [ends])
        self.grammars = GrammarCompiler(folder / TOKENIZER_FILE, config["vocab_size"], self.end_ids)
        self._text_of = token_texts(_Pieces(self.tokenizer))

    def shown(self, drawn: Drawn) -> TokenLogprob:
        top = tuple((self._text_of(token_id), shown(logprob)) for token_id, logprob in drawn.top)
        return TokenLogprob(self._text_of(drawn.token_id), shown(drawn.logprob), top)


class _Pieces:
    """The two things that `token_texts` asks of a tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        added = tokenizer.get_added_tokens_decoder()
        self.all_special_ids = [token_id for token_id, token in added.items() if token.special]
        self._tokenizer = tokenizer

    def convert_ids_to_tokens(self, token_id: int) -> str:
        """Models may have more rows than the tokenizer has tokens."""
        return self._tokenizer.id_to_token(token_id) or ""
