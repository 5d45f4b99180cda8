"""How far an installation is: a bar where somebody watches, a line per step elsewhere."""

import sys
from typing import TextIO

BAR_CHARS = 24
STEPS = 4
"""Lines per task where no terminal is."""
MEGABYTE = 1_000_000


class Progress:
    """One task after another, each from nothing to `total`."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._task = ""
        self._steps = 0

    def begin(self, text: str) -> None:
        """A task that starts: said at once, so that nothing takes time unannounced."""
        if self._live:
            self._show(text)
        else:
            self._line(text)

    def show(self, text: str, done: float, total: float, unit: str) -> None:
        """`done` of `total`, both in `unit`."""
        share = min(done / total, 1) if total else 1
        if text != self._task:
            self._task, self._steps = text, 0
        if self._live:
            filled = round(share * BAR_CHARS)
            self._show(
                f"{text:<20} [{'#' * filled}{'.' * (BAR_CHARS - filled)}] {done:,.0f} of {total:,.0f} {unit}"
            )
        elif int(share * STEPS) > self._steps:
            self._steps = int(share * STEPS)
            self._line(f"{text}: {done:,.0f} of {total:,.0f} {unit}")

    def end(self) -> None:
        """The bar stays where it is, and the next text begins a line."""
        if self._live:
            self._stream.write("\n")
            self._stream.flush()

    def _show(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K  {text}")
        self._stream.flush()

    def _line(self, text: str) -> None:
        self._stream.write(f"  {text}\n")
        self._stream.flush()
