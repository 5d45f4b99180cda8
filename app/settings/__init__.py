"""Settings: one frozen, typed object read from a file in the shape of a wrangler file.

`table.py` is the one list of settings (name, default, unit, help); the checked-in schema, the commented
default file and `docs/configuration.md` are kept equal to it by a test.
"""

from app.resources import CHECKOUT
from app.settings.load import DEFAULT_FILE, check_models, load_settings
from app.settings.values import Ai, Limits, Model, Server, Settings

__all__ = [
    "CHECKOUT",
    "DEFAULT_FILE",
    "Ai",
    "Limits",
    "Model",
    "Server",
    "Settings",
    "check_models",
    "load_settings",
]
