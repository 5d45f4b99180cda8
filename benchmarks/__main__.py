"""`python -m benchmarks [PART...]`: the parts named (`PARTS`), or those of `PLAIN`."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from app.errors import OperatorError
from benchmarks import engine, engines, front, full_size, grammar, light, settings, start, upload, validate
from benchmarks.errors import BenchError
from benchmarks.report import Part, save, show

PARTS: dict[str, Callable[[Path], Part]] = {
    "validate": lambda folder: validate.run(),
    "front": front.run,
    "upload": upload.run,
    "engine": engine.run,
    "start": start.run,
    "settings": settings.run,
    "engines": engines.run,
    "full": full_size.run,
    "light": light.run,
    "grammar": grammar.run,
}
PLAIN = ("validate", "front", "upload", "engine")
"""What runs when nothing is named: under ten minutes on two cores."""


def main(names: Sequence[str]) -> int:
    """Exit status. What went wrong is one line on standard error."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"benchmarks: no part {unknown[0]!r}: choose from {', '.join(PARTS)}", file=sys.stderr)
        return 2
    try:
        _run([name for name in PARTS if name in (names or PLAIN)])
    except (BenchError, OperatorError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: interrupted", file=sys.stderr)
        return 130
    return 0


def _run(names: Sequence[str]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 140)
    parts = []
    folder = Path(tempfile.mkdtemp(prefix="outworker-bench-"))
    for name in names:
        parts.append(PARTS[name](folder))
        show(parts[-1], console)
    shutil.rmtree(folder)  # kept after a failure: the error names a log in it
    console.print(f"written to {save(parts)}", highlight=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
