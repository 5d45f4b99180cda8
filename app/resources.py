"""Finds the files that come with the code: a checkout has them beside `app/`, an installed wheel in `app/bundled/`."""

from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[1]
"""The folder that has `app/`. Only what is for a checkout alone may look for other files there: the training."""
_BUNDLED: Final = CHECKOUT / "app" / "bundled"
"""Where `force-include` in pyproject.toml puts the folders that stand beside `app/`."""


def resource(path: str) -> Path:
    """The file or folder that the repository has as `path`: "schemas/card.schema.json", "app/web"."""
    return (_BUNDLED if _is_wheel() and not path.startswith("app/") else CHECKOUT) / path


def home() -> Path:
    """The folder where relative paths of the settings begin: the checkout, or a wheel's working directory."""
    return Path.cwd() if _is_wheel() else CHECKOUT


def _is_wheel() -> bool:
    return _BUNDLED.is_dir()
