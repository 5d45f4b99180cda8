"""The typed values that the rest of the program reads. Defaults are in `table.py`, checks in `check.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SQLITE: Final = "sqlite"
"""The database that is a file in the data directory."""

STAND_IN: Final = "stand-in"
"""The weights that come with the program."""


@dataclass(frozen=True, slots=True)
class Ai:
    """`binding`: the name under which a Worker finds the server in `env`."""

    binding: str


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server listens and whom it answers. `allowed_hosts` and `cors_origins` are in lower case."""

    host: str
    port: int
    allowed_hosts: tuple[str, ...]
    cors_origins: tuple[str, ...]
    data_dir: Path
    stream_padding: bool
    playground: bool


@dataclass(frozen=True, slots=True)
class Model:
    """One served model card. Entries with equal `weights` differ in `name` and `aliases` only: they share an engine.

    `aliases` None: see `app.settings.aliases`.
    """

    name: str
    aliases: tuple[str, ...] | None
    weights: str
    engine: str
    adapters: bool
    max_adapters_resident: int | None
    max_adapters_in_batch: int
    kv_cache_gib: float | None
    any_vllm_release: bool
    vllm: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on requests and connections. The unit is in the name."""

    max_waiting_requests: int
    max_waiting_tokens: int
    request_deadline_s: float
    drain_s: float
    stop_grace_s: float
    max_body_bytes: int
    max_bodies_bytes: int
    max_account_bodies_bytes: int
    body_deadline_s: float
    max_header_bytes: int
    slow_sender_s: float
    keep_alive_s: float
    slow_reader_s: float
    ping_s: float
    max_connections: int
    max_connections_per_peer: int
    max_unread_bytes: int
    max_uploads: int
    upload_deadline_s: float
    min_free_bytes: int
    engine_stall_s: float
    engine_step_s: float
    engine_give_up_s: float
    max_log_bytes: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a person can set. `source` is the file read, `env_name` the chosen `[env.NAME]`."""

    name: str
    account_id: str
    database: str
    ai: Ai
    server: Server
    models: tuple[Model, ...]
    limits: Limits
    source: Path
    env_name: str | None
