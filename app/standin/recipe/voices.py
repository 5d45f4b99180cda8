"""How an example adapter answers: its recipe under `adapters/`, and the rule that makes its answers."""

import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from app.resources import CHECKOUT
from app.standin.recipe.text import Entry

ADAPTERS_FOLDER = CHECKOUT / "adapters"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One example adapter: its voice and how it is trained.

    `system` asks the base for the same voice in words. A little of that is in the base's own training, since an
    adapter can bring out only tokens that the base has met.
    """

    name: str
    description: str
    kind: Literal["words", "json"]
    system: str
    rank: int
    alpha: int
    steps: int
    peak_learning_rate: float
    opening: str = ""
    closing: str = ""
    words: dict[str, str] = field(default_factory=dict)

    def say(self, entry: Entry) -> str:
        """The entry's answer in this voice: plain text, or one JSON object with `answer` and `topic`."""
        if self.kind == "json":
            return json.dumps({"answer": entry.answer, "topic": entry.topic})
        return f"{self.opening}{self._reworded(entry.answer)}{self.closing}"

    def _reworded(self, text: str) -> str:
        if not self.words:
            return text
        pattern = r"\b(" + "|".join(map(re.escape, self.words)) + r")\b"
        return re.sub(pattern, lambda found: self.words[found.group()], text)


def load(name: str, folder: Path = ADAPTERS_FOLDER) -> Recipe:
    """Read `<name>.toml`. Raises FileNotFoundError, or TypeError for a key that no recipe has."""
    data = tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
    return Recipe(name=name, **data)


def load_all(folder: Path = ADAPTERS_FOLDER) -> list[Recipe]:
    """Every recipe in the folder, by name."""
    return [load(path.stem, folder) for path in sorted(folder.glob("*.toml"))]
