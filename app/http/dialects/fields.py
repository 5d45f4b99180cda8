"""What becomes of each field that OpenAI's, Anthropic's, Mistral's or vLLM's requests have: nothing is lost in silence.

A field is served, or it can't change an answer here, or it is refused with what to do instead. `docs/sampling.md` shows
the same; a test finds a field of the installed packages that is in no list.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from app.http.dialects.readers import unsupported

LEAVE_OUT: Final = "leave it out"


@dataclass(frozen=True, slots=True)
class Fields:
    """Of one kind of request. `refused` says what to send instead, `as_is` which value of such a field is what happens
    anyway; where it has none, that is every empty one.
    """

    served: frozenset[str]
    changes_nothing: frozenset[str]
    refused: Mapping[str, str]
    as_is: Mapping[str, Any] = field(default_factory=dict)

    def check(self, body: Mapping[str, Any]) -> None:
        """Raises BadInput for a field that would change the answer and can't be served."""
        for name in self.refused.keys() & body.keys():
            value = body[name]
            if value is not None and (value != self.as_is[name] if name in self.as_is else value):
                raise unsupported((name,), self.refused[name])


SAMPLING: Final = frozenset(
    {
        *("model", "stream", "temperature", "top_p", "top_k", "min_p", "seed", "random_seed"),
        *("frequency_penalty", "presence_penalty", "repetition_penalty"),
        *("stop", "stop_token_ids", "bad_words", "ignore_eos", "min_tokens"),
        *("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar"),
        *("lora", "raw"),
    }
)
IRRELEVANT: Final = frozenset(
    {
        # Who asks, what is kept of it, how soon and where it is computed.
        *(
            "user",
            "metadata",
            "store",
            "service_tier",
            "safety_identifier",
            "priority",
            "request_id",
            "session_id",
        ),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "cache_salt"),
        *("kv_transfer_params", "ec_transfer_params", "routed_experts_prompt_start", "stream_interval"),
        # Thoughts and pictures: no model here has them. Templates here take no arguments.
        *("reasoning_effort", "include_reasoning", "thinking_token_budget", "verbosity", "prompt_mode"),
        *("media_io_kwargs", "mm_processor_kwargs", "mm_payload", "return_mm_kwargs", "chat_template_kwargs"),
        # Of what is refused, or is so already.
        *("length_penalty", "truncation_side", "spaces_between_special_tokens", "continue_final_message"),
        *("prediction", "guided_decoding_backend"),
    }
)
REFUSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "logit_bias": LEAVE_OUT,
        "allowed_token_ids": "send structured_outputs with a choice or a grammar",
        "use_beam_search": LEAVE_OUT,
        "echo": "the answer has the new text alone",
        "prompt_logprobs": LEAVE_OUT,
        "logprob_token_ids": "send top_logprobs",
        "include_stop_str_in_output": "a stop text is not part of the answer",
        "skip_special_tokens": "control tokens are not part of the answer",
        "add_special_tokens": "the server begins a prompt with one <s>, and only one",
        "truncate_prompt_tokens": "shorten the prompt",
        "return_token_ids": "send logprobs",
        "return_tokens_as_token_ids": "send logprobs",
        "return_token_offsets": "send logprobs",
        "repetition_detection": "send a repetition_penalty",
        "guided_whitespace_pattern": LEAVE_OUT,
        "watermarking": LEAVE_OUT,
        "vllm_xargs": LEAVE_OUT,
        "moderation": LEAVE_OUT,
    }
)
AS_IS: Final[Mapping[str, Any]] = MappingProxyType({"skip_special_tokens": True})
# What another path takes is no field of the path it was sent to, and would be lost.
ONE_ANSWER: Final = "one request gives one answer"
SEND_FORMAT: Final = "send response_format"
SEND_CONFIG: Final = "send output_config with a format"
SEND_STOP: Final = "send stop"
SEND_SYSTEM: Final = "send a system message"
SEND_TOOLS: Final = "send tools"
SEND_CHOICE: Final = "send tool_choice"
TEXT: Final[Mapping[str, str]] = MappingProxyType({"type": "text"})

CHAT: Final = Fields(
    SAMPLING
    | {
        *(
            "messages",
            "max_tokens",
            "max_completion_tokens",
            "max_output_tokens",
            "n",
            "logprobs",
            "top_logprobs",
            "stream_options",
        ),
        *("tools", "tool_choice", "parallel_tool_calls", "response_format"),
    },
    IRRELEVANT,
    {
        **REFUSED,
        "functions": SEND_TOOLS,
        "function_call": SEND_CHOICE,
        "audio": "only text is served",
        "modalities": "only text is served",
        "web_search_options": "the server does not search: send a tool that does",
        "documents": "send their text in a message",
        "chat_template": "send a prompt to completions",
        "add_generation_prompt": "send a last message of the assistant, which is continued",
        "return_prompt_text": LEAVE_OUT,
        "safe_prompt": SEND_SYSTEM,
        "best_of": ONE_ANSWER,
        "stop_sequences": SEND_STOP,
        "system": SEND_SYSTEM,
        "instructions": SEND_SYSTEM,
        **dict.fromkeys(("text", "output_format", "output_config"), SEND_FORMAT),
    },
    {**AS_IS, "modalities": ["text"], "add_generation_prompt": True, "best_of": 1},
)
COMPLETIONS: Final = Fields(
    SAMPLING
    | {
        *("prompt", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of"),
        *("logprobs", "stream_options", "response_format"),
    },
    IRRELEVANT,
    {
        **REFUSED,
        "suffix": "this model writes on from the end of the prompt",
        "prompt_embeds": "send the prompt's text",
        **dict.fromkeys(("tools", "tool_choice", "functions"), "send messages to chat/completions"),
        "top_logprobs": "send their number as logprobs",
        "stop_sequences": SEND_STOP,
        "system": "write it into the prompt",
        "instructions": "write it into the prompt",
        **dict.fromkeys(("text", "output_format", "output_config"), SEND_FORMAT),
    },
    {**AS_IS, "add_special_tokens": True},
)
NOT_STORED: Final = "send the whole conversation as input: nothing is stored here"
RESPONSES: Final = Fields(
    SAMPLING
    | {
        *(
            "input",
            "instructions",
            "max_output_tokens",
            "max_completion_tokens",
            "max_tokens",
            "top_logprobs",
            "include",
            "text",
        ),
        *("tools", "tool_choice", "parallel_tool_calls"),
    },
    IRRELEVANT
    | {
        *("reasoning", "max_tool_calls", "truncation", "stream_options", "access_programs", "image"),
        "context_management",
    },
    {
        **REFUSED,
        "previous_response_id": NOT_STORED,
        "conversation": NOT_STORED,
        "previous_input_messages": NOT_STORED,
        "prompt": "send instructions and input",
        "background": "leave it out: answers come at once",
        "enable_response_messages": LEAVE_OUT,
        "system": "send instructions",
        "n": ONE_ANSWER,
        "best_of": ONE_ANSWER,
        "logprobs": "send top_logprobs",
        "stop_sequences": SEND_STOP,
        **dict.fromkeys(("response_format", "output_format", "output_config"), "send text with a format"),
        "functions": SEND_TOOLS,
        "function_call": SEND_CHOICE,
    },
    {**AS_IS, "n": 1, "best_of": 1, "response_format": TEXT},
)
MESSAGES: Final = Fields(
    frozenset(
        {
            *("model", "messages", "max_tokens", "system", "stream", "temperature", "top_p", "top_k"),
            *("stop_sequences", "tools", "tool_choice", "output_config", "output_format"),
            *("lora", "seed", "repetition_penalty"),
        }
    ),
    frozenset(
        {
            *(
                "metadata",
                "service_tier",
                "speed",
                "inference_geo",
                "thinking",
                "cache_control",
                "diagnostics",
            ),
            *("user_profile_id", "workspace_id", "context_management", "betas"),
        }
    ),
    {
        **REFUSED,
        "container": "the server runs no code: leave it out",
        "mcp_servers": "send the tools themselves",
        **dict.fromkeys(
            ("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar"),
            SEND_CONFIG,
        ),
        **dict.fromkeys(("response_format", "text", "allowed_token_ids"), SEND_CONFIG),
        **dict.fromkeys(
            ("min_p", "stop_token_ids", "bad_words", "ignore_eos", "min_tokens", "logprobs", "top_logprobs"),
            "send messages to chat/completions",
        ),
        **dict.fromkeys(("frequency_penalty", "presence_penalty"), "send repetition_penalty"),
        "random_seed": "send seed",
        "stop": "send stop_sequences",
        "n": ONE_ANSWER,
        "best_of": ONE_ANSWER,
        "instructions": "send system",
        "raw": "send a prompt to completions",
        "parallel_tool_calls": "send a tool_choice with disable_parallel_tool_use",
        "functions": SEND_TOOLS,
        "function_call": SEND_CHOICE,
    },
    {**AS_IS, "n": 1, "best_of": 1, "response_format": TEXT, "parallel_tool_calls": True},
)
