"""Shorter names of models: what an entry says, or the last part of its card's name."""

from collections import Counter
from collections.abc import Sequence

from app.settings.values import Model


def aliases_of(models: Sequence[Model]) -> dict[str, str]:
    """The card's name by alias. What an entry says counts before what another has by default; a last part that two
    cards have is nobody's.
    """
    given = {alias: model.name for model in models for alias in model.aliases or ()}
    parts = {model.name: _last_part(model.name) for model in models if model.aliases is None}
    times = Counter(parts.values())
    names = {model.name for model in models}
    free = {
        part: name
        for name, part in parts.items()
        if times[part] == 1 and part not in given and part not in names
    }
    return {**given, **free}


def _last_part(name: str) -> str:
    return name.rpartition("/")[2]
