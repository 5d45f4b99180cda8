"""hatchling asks this when it builds a wheel: the folders beside `app/` go into it, and not into an editable install.

hatchling's own `force-include` would copy them into an environment that reads the checkout, where they would grow old.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Bundle(BuildHookInterface):  # type: ignore[type-arg]
    """Takes the table `force-include` of this hook in pyproject.toml."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"].update(self.config["force-include"])
