"""Entry point of vLLM's platform plugins (pyproject.toml): its way to replace a platform's parts.

Every vLLM in this environment asks every installed plugin; this one answers only in processes of our server.
Imports nothing: it runs while vLLM finds out where it is.
"""

import os
from typing import Final

SWITCH: Final = "OUTWORKER_CPU_PLATFORM"
"""Is "1" in the environment of the vLLM that is to use the platform."""

PLATFORM_MODULE: Final = "app.engines.vllm.cpu_platform"


def platform() -> str | None:
    """The class by name, or None for a vLLM that did not ask for it."""
    return f"{PLATFORM_MODULE}.BatchedLoraCpuPlatform" if os.environ.get(SWITCH) == "1" else None
