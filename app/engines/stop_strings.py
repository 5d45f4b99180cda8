"""Stop texts in an answer that grows, by vLLM's rule: of those that have come whole, the one that ended first counts."""

from collections.abc import Sequence


class StopStrings:
    """What may be the beginning of one is held back until it is told. `found` is the one that came."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.found: str | None = None

    def add(self, text: str, *, look: bool = True) -> tuple[str, bool]:
        """What can be shown now, and whether a stop text came: then it is the last. With `look` False a stop text may
        not end in `text`.
        """
        start = len(self._held)
        self._held += text
        first = self._first(start) if look and text else None
        if first is not None:
            begin, self.found = first
            self._held = self._held[:begin]
            return self.rest(), True
        held = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        return self._give(len(self._held) - held), False

    def rest(self) -> str:
        """What is still held, at the end of the answer."""
        return self._give(len(self._held))

    def _give(self, chars: int) -> str:
        given, self._held = self._held[:chars], self._held[chars:]
        return given

    def _first(self, new_from: int) -> tuple[int, str] | None:
        """Where it begins, and which it is, of those that end at or after `new_from`; of equal ends the first in the
        list.
        """
        found = []
        for stop in self._stops:
            at = self._held.find(stop, max(new_from - len(stop) + 1, 0))
            if at >= 0:
                found.append((at + len(stop), at, stop))
        return min(found, key=lambda one: one[0])[1:] if found else None


def _overlap(text: str, stop: str) -> int:
    """How much of the stop text's beginning is the text's end."""
    return next(n for n in range(min(len(stop) - 1, len(text)), -1, -1) if text.endswith(stop[:n]))
