"""The programs of tests/clients/programs: how each is run, and what it shows of its client."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.node import BIN, CLIENTS, own_environment
from tests.live.server import CHECKOUT

PROGRAMS = CLIENTS / "programs"
OTHER_PYTHON = CHECKOUT / ".venv-clients" / "bin" / "python"
PROGRAM_S = 120

TALKS = frozenset({"text", "streamed", "lora", "failures"})
CALLS = TALKS | {"tools"}
ALL = CALLS | {"object"}


@dataclass(frozen=True)
class Program:
    """`ways` are the parts of its outcome: each API, or each form of it, that the client speaks, and what it shows."""

    name: str
    command: tuple[str | Path, ...]
    ways: dict[str, frozenset[str]]
    more: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    def run(self, situation: str, home: Path) -> dict[str, dict[str, Any]]:
        """What it printed; `home` is its own folder."""
        done = subprocess.run(
            [*self.command, situation, *self.more],
            cwd=home,
            env={**own_environment(home), "OPENAI_AGENTS_DISABLE_TRACING": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROGRAM_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


def _node(name: str, program: str, ways: dict[str, frozenset[str]], *more: str) -> Program:
    return Program(name, (BIN / "node", PROGRAMS / program), ways, more)


def _python(name: str, program: str, ways: dict[str, frozenset[str]], python: Path) -> Program:
    return Program(name, (python, PROGRAMS / program), ways)


OURS = Path(sys.executable)
ALL_PROGRAMS = (
    *(
        _node(f"npm-{package}", "openai.mjs", {"chat": ALL, "responses": ALL}, package)
        for package in ("openai", "openai-6", "openai-4")
    ),
    _node("npm-ai-sdk", "ai_sdk.mjs", {"openai": ALL, "anthropic": CALLS}),
    _node("npm-langchain-openai", "langchain.mjs", {"chat": ALL, "responses": ALL}),
    _node("npm-mistralai", "mistral.mjs", {"chat": ALL}),
    _python("mistralai", "ask_mistral.py", {"chat": ALL}, OURS),
    _python("langchain-anthropic", "ask_langchain_anthropic.py", {"anthropic": CALLS}, OURS),
    _python(
        "pydantic-ai",
        "ask_pydantic_ai.py",
        {"chat": ALL, "responses": ALL, "mistral": ALL, "anthropic": CALLS},
        OURS,
    ),
    _python(
        "instructor",
        "ask_instructor.py",
        {"openai": ALL - {"streamed"}, "anthropic": frozenset({"object", "tools", "failures"})},
        OTHER_PYTHON,
    ),
    _python(
        "openai-agents",
        "ask_agents.py",
        {"chat": ALL, "responses": ALL, "alias": frozenset({"text", "lora"})},
        OTHER_PYTHON,
    ),
)
