"""The values that travel from a request's bytes to the engine and back.

Nothing here does work: parsing is in `app.http.dialects`, checking in `app.catalog`, building in `app.inference`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

FinishReason = Literal["stop", "length", "abort", "tool_calls"]
ToolChoice = Literal["auto", "none", "required"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `parameters` is the JSON schema of an object."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model made. `arguments` is the JSON text of an object."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `role` is as the client sent it, `content` is text with its parts joined.

    An assistant turn may have `tool_calls`; a `tool` turn answers the call with id `tool_call_id`.
    """

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """The answer must be JSON: what `schema` describes, or any object without one."""

    schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TextFormat:
    """The answer must be one of the texts that `value` says: a tuple of them, a regular expression, a grammar of
    xgrammar's in EBNF, or its structural tag (JSON text). `path` is where the request says so.
    """

    kind: Literal["choice", "regex", "grammar", "structural_tag"]
    value: str | tuple[str, ...]
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grammar:
    """What an engine must keep the answer's text to. Exactly one is set; both are JSON text.

    `structural_tag` is xgrammar's (xgrammar.mlc.ai/docs, "Structural Tag").
    """

    json_schema: str | None = None
    structural_tag: str | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn, in the engine's domain: every value is one that vLLM accepts or maps exactly.

    `temperature` may exceed vLLM's 2 (see `app.engines.vllm.high_temperature`); `top_k` 0 means all tokens. `stop` are
    texts that end the answer and are no part of it. `logprobs` asks for that many alternatives per token, 0 for the
    drawn one alone. The end token counts for nothing where `ignore_eos`, and can't be drawn before `min_tokens`
    others. A token is drawn only if it has at least `min_p` of the likeliest one's probability. Not every engine has
    `min_p`, `stop_token_ids`, which end an answer, and `bad_words`, which never come: see `app.engines.engine`.
    """

    max_tokens: int
    temperature: float = 0.6
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    ignore_eos: bool = False
    min_tokens: int = 0
    min_p: float = 0.0
    stop_token_ids: tuple[int, ...] = ()
    bad_words: tuple[str, ...] = ()
    grammar: Grammar | None = None


@dataclass(frozen=True, slots=True)
class TextRequest:
    """A body that passed the card's schema and the typed second pass. Exactly one of `prompt`, `messages` is set.

    Where `tool_choice` is "required" one of `tools` must be called: a choice of one tool leaves only that one
    here. With `one_call` there is at most one call. Where `may_be_cut`, `max_tokens` is an upper limit: it is lowered to
    what fits beside the prompt, and an answer that it cuts is one, also where JSON was wanted.
    """

    prompt: str | None
    messages: tuple[Message, ...] | None
    sampling: Sampling
    raw: bool = False
    stream: bool = False
    lora: str | None = None
    json_format: JsonFormat | None = None
    text_format: TextFormat | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    one_call: bool = False
    may_be_cut: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids ready for the engine: BOS included, no padding.

    `opens_turn` says that the answer begins a turn: the tokenizer marks its first word with a space that is no part
    of the text.
    """

    token_ids: list[int]
    opens_turn: bool = False


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token's text and the natural logarithm of its probability; `top` are the likeliest alternatives."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


class Delta(NamedTuple):
    """What an engine yields: the text and token ids since the last delta.

    `text` never ends inside a UTF-8 character. `finish_reason` is set on the last delta only. `logprobs` has one for
    each token id where they were asked for. `tool_calls` are whole calls, which `app.inference` finds in the text.
    `stop_text` is the one of the request's stop texts that ended the answer, on the last delta. A named tuple, because
    one is made per token and a frozen dataclass takes three times as long.
    """

    text: str
    token_ids: list[int]
    finish_reason: FinishReason | None = None
    cached_tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    stop_text: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one finished request."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


MAX_LORA_RANK: Final = 32
"""Of an adapter on any layer: Workers AI takes no larger one, and engines make room for it when they start."""


@dataclass(frozen=True, slots=True)
class StoredAdapter:
    """A checked LoRA adapter on disk, as the engine may load it.

    `digest` is the sha256 (hex) over both assets; `folder` is unique to account and digest and holds the canonical
    `adapter_config.json` (written by us) and `adapter_model.safetensors`. `weights` names the base it was made for.
    """

    id: str
    account_id: str
    name: str
    model: str
    weights: str
    digest: str
    folder: Path
    rank: int
    description: str = ""
    public: bool = False
    created_at: str = ""
    modified_at: str = ""

    @property
    def engine_name(self) -> str:
        """The name the engine's prefix cache keys on: equal names of two accounts, or two uploads, never meet."""
        return f"{self.account_id}/{self.digest}"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: the account that the token serves, and what the token may do."""

    account_id: str
    scopes: frozenset[str] = field(default_factory=frozenset)
    token_sha256: str = field(default="", compare=False, repr=False)
