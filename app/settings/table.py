"""The one table of settings: name, default, unit, help and the JSON Schema of its value.

A name is the path in the file; `models[].` stands for each `[[models]]` entry. A setting without a default is
either required (`models[].name`) or has a meaning when absent, which its help says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.engines.registry import ENGINES
from app.names import ACCOUNT_ID
from app.settings.values import SQLITE, STAND_IN

DEFAULT_MODELS: Final = (
    "@hf/mistral/mistral-7b-instruct-v0.2",
    "@cf/mistral/mistral-7b-instruct-v0.2-lora",
)

_SOME_TEXT: Final = r"\S"
_DATABASE: Final = rf"^({SQLITE}|postgres(ql)?(\+psycopg)?://[^/]*/[^/?]+(\?.*)?)$"
_ACCOUNT: Final = f"^{ACCOUNT_ID.pattern}$"
_ORIGIN: Final = r"^(\*|[A-Za-z][A-Za-z0-9+.-]*://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?)$"
_HOST: Final = r"^([A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$"
_ALLOWED_HOST: Final = rf"^\*$|{_HOST}"
_ALIAS: Final = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$"
ENV_NAME: Final = "^[A-Za-z0-9_-]+$"

PATTERNS: Final[Mapping[str, str]] = {
    _SOME_TEXT: "a text that is not empty",
    _DATABASE: f'"{SQLITE}" or postgresql://user@host/name',
    _ACCOUNT: "1 to 64 letters, digits, - or _",
    _ORIGIN: 'an origin, scheme://host[:port], or "*"',
    _ALLOWED_HOST: 'a host name or address without a port, or "*"',
    _ALIAS: "1 to 128 letters, digits, -, _, . or /, the first a letter or digit",
    ENV_NAME: "a name of letters, digits, - and _",
}
"""What a pattern stands for, for error texts."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row. `default` None means that there is none; `schema` is a fragment of JSON Schema 2020-12."""

    name: str
    default: Any
    help: str
    schema: Mapping[str, Any]
    unit: str = ""


def _integer(low: int, high: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


def _seconds(high: float) -> dict[str, Any]:
    return {"type": "number", "exclusiveMinimum": 0, "maximum": high}


def _text(pattern: str = _SOME_TEXT) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


def _texts(pattern: str) -> dict[str, Any]:
    return {"type": "array", "items": _text(pattern), "uniqueItems": True}


_TEXT: Final = _text()
_BOOLEAN: Final = {"type": "boolean"}
_DAY_S: Final = 86_400

_GENERAL = (
    Setting("name", "outworker", "Name of this server, shown at the start.", _TEXT),
    Setting(
        "account_id",
        "local",
        "The development account: it has the example adapters and the token in the data directory.",
        _text(_ACCOUNT),
    ),
    Setting(
        "database",
        SQLITE,
        'Database of tokens and adapters: "sqlite" (in the data directory) or postgresql://...; OUTWORKER_DATABASE wins.',
        _text(_DATABASE),
    ),
    Setting("ai.binding", "AI", "Name of the binding in a Worker: env.AI.", _TEXT),
)

_SERVER = (
    Setting("server.host", "127.0.0.1", "Address to listen on; the environment's HOST wins.", _TEXT),
    Setting(
        "server.port",
        8788,
        "Port to listen on, 0 takes a free one; the environment's PORT wins.",
        _integer(0, 65535),
    ),
    Setting(
        "server.allowed_hosts",
        ["127.0.0.1", "localhost", "::1"],
        'Names that a request\'s Host header may have, without port; add yours when host is not loopback. "*" is any.',
        _texts(_ALLOWED_HOST),
    ),
    Setting(
        "server.cors_origins",
        [],
        'Origins whose web pages may call the API from a browser, such as "https://example.com"; "*" is any.',
        _texts(_ORIGIN),
    ),
    Setting(
        "server.data_dir",
        ".outworker",
        "Database, adapters, weights; relative to the checkout, or where a wheel is run. OUTWORKER_DATA_DIR wins.",
        _TEXT,
    ),
    Setting(
        "server.stream_padding",
        True,
        "Pad streamed chunks with a random `p`, so that their size does not tell the text's length.",
        _BOOLEAN,
    ),
    Setting(
        "server.playground",
        True,
        "Serve the playground, a page in the browser, at /; `outworker page` prints a link to it.",
        _BOOLEAN,
    ),
)

_MODELS = (
    Setting("models[].name", None, "Required. Name of a model card in schemas/.", _TEXT),
    Setting(
        "models[].aliases",
        None,
        "Other names of the model, which clients may ask for; absent: the last part of its name.",
        _texts(_ALIAS),
    ),
    Setting(
        "models[].weights",
        STAND_IN,
        'What the engine loads: "stand-in", a variant of `outworker weights list`, a repository, a folder or a file.',
        _TEXT,
    ),
    Setting(
        "models[].engine",
        "vllm",
        '"vllm", "transformers", "llamacpp", or "fake": an engine without a model, for work on front ends.',
        {"type": "string", "enum": list(ENGINES)},
    ),
    Setting(
        "models[].adapters", True, "Serve LoRA adapters; without them vLLM can compile the model.", _BOOLEAN
    ),
    Setting(
        "models[].max_adapters_resident",
        None,
        "Adapters held in memory at once, the least recently used goes first; absent: chosen from free memory.",
        _integer(1, 4096),
        "adapters",
    ),
    Setting(
        "models[].max_adapters_in_batch",
        4,
        "Different adapters computed in one step on a GPU; at most max_adapters_resident.",
        _integer(1, 256),
        "adapters",
    ),
    Setting(
        "models[].kv_cache_gib",
        None,
        "Memory for the KV cache; absent: chosen from free memory (CPU) or by gpu_memory_utilization (GPU).",
        {"type": "number", "exclusiveMinimum": 0, "maximum": 65536},
        "GiB",
    ),
    Setting(
        "models[].any_vllm_release",
        False,
        "Start also a release of vLLM that this server was not written for, and see what it does.",
        _BOOLEAN,
    ),
    Setting(
        "models[].vllm",
        {},
        "vLLM engine arguments, passed through; those that the server sets itself are refused.",
        {"type": "object"},
    ),
)

_LIMITS = (
    Setting(
        "limits.max_waiting_requests",
        256,
        "Requests that may wait for the engine; more are answered 429 (code 3040).",
        _integer(1, 1_000_000),
        "requests",
    ),
    Setting(
        "limits.max_waiting_tokens",
        262_144,
        "Prompt tokens that may wait for the engine; more are answered 429 (code 3040).",
        _integer(1, 1_000_000_000),
        "tokens",
    ),
    Setting(
        "limits.request_deadline_s",
        300,
        "A request that takes longer is ended with 408 (code 3007).",
        _seconds(_DAY_S),
        "s",
    ),
    Setting(
        "limits.drain_s",
        30,
        "How long running requests may take to finish when the server is stopped.",
        {"type": "number", "minimum": 0, "maximum": _DAY_S},
        "s",
    ),
    Setting(
        "limits.stop_grace_s",
        5,
        "How long requests are still taken after SIGTERM, with /ready at 503; Ctrl-C waits for nothing.",
        {"type": "number", "minimum": 0, "maximum": _DAY_S},
        "s",
    ),
    Setting(
        "limits.max_body_bytes",
        10_000_000,
        "Largest request body; a larger one is answered 413 (code 3006).",
        _integer(1024, 1_000_000_000),
        "bytes",
    ),
    Setting(
        "limits.max_bodies_bytes",
        128_000_000,
        "Request bodies held in memory in all, adapters excepted; more are answered 429 (code 3040).",
        _integer(1024, 1_000_000_000_000),
        "bytes",
    ),
    Setting(
        "limits.max_account_bodies_bytes",
        64_000_000,
        "Request bodies of one account held in memory; more are answered 429 (code 3040).",
        _integer(1024, 1_000_000_000_000),
        "bytes",
    ),
    Setting(
        "limits.body_deadline_s",
        120,
        "A request body that takes longer to arrive is ended with 408 (code 3007).",
        _seconds(_DAY_S),
        "s",
    ),
    Setting(
        "limits.max_header_bytes",
        65_536,
        "Largest request head: request line and headers together.",
        _integer(1024, 1_048_576),
        "bytes",
    ),
    Setting(
        "limits.slow_sender_s",
        10,
        "A request whose bytes stop coming is closed after this.",
        _seconds(3600),
        "s",
    ),
    Setting(
        "limits.keep_alive_s",
        75,
        "How long a connection may stay unused between two requests; clients are told, and get a little longer.",
        _seconds(3600),
        "s",
    ),
    Setting(
        "limits.slow_reader_s",
        30,
        "A connection whose answers are not read is ended after this.",
        _seconds(3600),
        "s",
    ),
    Setting(
        "limits.ping_s", 15, "A stream that is silent for so long gets a comment line.", _seconds(3600), "s"
    ),
    Setting(
        "limits.max_connections",
        1024,
        "Open connections; fewer where the system gives too few file descriptors. More are answered 503 (code 7007).",
        _integer(1, 1_000_000),
        "connections",
    ),
    Setting(
        "limits.max_connections_per_peer",
        768,
        "Open connections from one address; a proxy's clients all have its own. More are answered 503 (code 7007).",
        _integer(1, 1_000_000),
        "connections",
    ),
    Setting(
        "limits.max_unread_bytes",
        64_000_000,
        "Bytes of answers that may wait for their readers in all; beyond them the slowest connections are ended.",
        _integer(1_000_000, 1_000_000_000_000),
        "bytes",
    ),
    Setting(
        "limits.max_uploads",
        8,
        "Adapter assets received at once; more are answered 429 (code 3040).",
        _integer(1, 1000),
        "uploads",
    ),
    Setting(
        "limits.upload_deadline_s",
        3600,
        "An asset that takes longer to arrive is ended with 408 (code 3007).",
        _seconds(_DAY_S),
        "s",
    ),
    Setting(
        "limits.min_free_bytes",
        1_000_000_000,
        "An upload that would leave less free on the data directory's disk is refused with 507 (code 5092).",
        _integer(0, 1_000_000_000_000_000),
        "bytes",
    ),
    Setting(
        "limits.engine_stall_s",
        30,
        "An engine that neither answers nor computes for so long is started again, or ends the server.",
        _seconds(_DAY_S),
        "s",
    ),
    Setting(
        "limits.engine_step_s",
        1800,
        "The same for an engine that computes but does not come to an end of its step.",
        _seconds(_DAY_S),
        "s",
    ),
    Setting(
        "limits.engine_give_up_s",
        0,
        "A vLLM that can't be started again for so long ends the server (status 1); 0: it is tried for ever.",
        {"type": "number", "minimum": 0, "maximum": _DAY_S},
        "s",
    ),
    Setting(
        "limits.max_log_bytes",
        10_000_000,
        "The log is moved to server.log.1 when it is larger; the file that had that name goes.",
        _integer(100_000, 1_000_000_000_000),
        "bytes",
    ),
)

TABLE: Final[tuple[Setting, ...]] = (*_GENERAL, *_SERVER, *_MODELS, *_LIMITS)
