"""llama.cpp's chunks of one request as deltas: token ids, whole characters, stop texts, log probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.engines.llamacpp.gguf.model import BYTE_0, CONTROL, FIRST_PIECE, SPACE, VOCAB_SIZE
from app.engines.logprobs import shown
from app.engines.stop_strings import StopStrings
from app.types import Delta, FinishReason, Sampling, TokenLogprob

UNKNOWN: Final = CONTROL["unknown"][0]
END: Final = CONTROL["eos"][0]
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


class TokenIds:
    """Ids by what tokens say, because llama.cpp's chunks name them only beside log probabilities."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self._by_text: Mapping[str, int] = {
            pieces[token].replace(SPACE, " "): token for token in range(FIRST_PIECE, VOCAB_SIZE)
        }

    def of(self, text: str, count: int) -> list[int]:
        """The `count` tokens that became `text`: all but the last are bytes of a character that this one ends.

        A token without a text is the end. Bytes that were no character can't be told: they are the unknown token.
        """
        if count == 1 and text in self._by_text:
            return [self._by_text[text]]
        if not text:
            return [END] * count
        data = text.encode()
        if REPLACEMENT in text or len(data) < count:
            return [UNKNOWN] * count
        last = data[count - 1 :].decode(errors="replace")
        ids = [BYTE_0 + byte for byte in data[: count - 1]]
        return [*ids, BYTE_0 + data[-1] if len(data) == count else self._by_text.get(last, UNKNOWN)]


@dataclass(slots=True)
class Reading:
    """One answer, also where it takes two requests. `token_ids` are its tokens so far.

    No stop text is looked for in the first `min_tokens` tokens.
    """

    ids: TokenIds
    sampling: Sampling
    token_ids: list[int] = field(default_factory=list)
    ended: bool = False
    _stops: StopStrings = field(init=False)
    _counted: int = 0

    def __post_init__(self) -> None:
        self._stops = StopStrings(self.sampling.stop)

    def begin_request(self) -> None:
        """A request's chunks count from its own begin."""
        self._counted = 0

    def delta(self, chunk: Mapping[str, Any], *, last: bool) -> Delta | None:
        """Of a chunk; None where it has nothing. `last` says that the request that this chunk ends is the last one."""
        choice = next(iter(chunk["choices"]), None)
        if choice is None or "prompt_progress" in chunk:
            return None
        reason: FinishReason | None = choice["finish_reason"]
        count = _count(chunk) - self._counted
        text = choice["text"]
        ids = self._ids(text, count, cut=reason is not None) if count > 0 else []
        logprobs = self._logprobs(choice.get("logprobs"), ids)
        self._counted += len(ids)
        checked = len(self.token_ids) >= self.sampling.min_tokens
        self.token_ids += ids
        ended = reason if last or reason == "stop" else None
        shown, stopped = self._shown(text, checked=checked, ends=ended is not None)
        self.ended = ended is not None or stopped
        if not shown and not ids and not self.ended:
            return None
        reason = "stop" if stopped else ended
        return Delta(shown, ids, reason, 0, logprobs, stop_text=self._stops.found)

    def _ids(self, text: str, count: int, *, cut: bool) -> list[int]:
        """`cut` says that the request's end came over tokens that had become no text yet."""
        return [UNKNOWN] * count if cut else self.ids.of(text, count)

    def _shown(self, text: str, *, checked: bool, ends: bool) -> tuple[str, bool]:
        """What may be shown now, and whether a stop text was found."""
        shown, stopped = self._stops.add(text, look=checked)
        return (shown, True) if stopped else (shown + (self._stops.rest() if ends else ""), False)

    def _logprobs(self, given: Any, ids: list[int]) -> tuple[TokenLogprob, ...]:
        """One for each token. llama.cpp gives none for bytes that begin a character: they are shown as certain."""
        if self.sampling.logprobs is None or not ids:
            return ()
        entries = (given or {}).get("content") or []
        for place, entry in enumerate(reversed(entries), 1):
            ids[-place] = entry["id"]
        known = tuple(_logprob(entry, self.sampling.logprobs) for entry in entries)
        return (*(TokenLogprob(REPLACEMENT, 0.0) for _ in range(len(ids) - len(known))), *known)


def _count(chunk: Mapping[str, Any]) -> int:
    """Tokens of this request so far."""
    usage = chunk.get("usage")
    count: int = usage["completion_tokens"] if usage else chunk["timings"]["predicted_n"]
    return count


def _logprob(entry: Mapping[str, Any], alternatives: int) -> TokenLogprob:
    top = entry.get("top_logprobs", ())[:alternatives]
    likeliest = tuple((one["token"], shown(one["logprob"])) for one in top)
    return TokenLogprob(entry["token"], shown(entry["logprob"]), likeliest)
