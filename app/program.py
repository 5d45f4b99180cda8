"""How a person calls the programs of this installation, where its hints are read."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

CALLED_FROM_VARIABLE: Final = "OUTWORKER_CALLED_FROM"
"""The folder where the person is: a server's own working directory is another one."""


def program(name: str = "outworker") -> str:
    """`name` where the PATH leads to this installation's, else the path of its script as a shell takes it.

    It is relative to the folder where the person is, when it lies below: `.venv/bin/outworker` in a checkout.
    """
    script = Path(sys.prefix) / "bin" / name
    found = shutil.which(name)
    if not script.exists() or (found is not None and script.samefile(found)):
        return name
    here = Path(os.environ.get(CALLED_FROM_VARIABLE) or Path.cwd())
    return shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))
