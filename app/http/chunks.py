"""A body in chunks. How long each is its size line says alone: what stands in it is passed on and never looked at."""

import re
from typing import Final

from app.errors import HeadersTooLarge, MalformedHttp

CHUNK_OVERHEAD_BYTES: Final = 32
"""The line end behind a chunk, the next one's size line, and room for a short extension: so much is not counted."""
LINE_BEGIN_BYTES: Final = 24  # of an unfinished line, what is looked at: the size

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'
_SIZE_LINE: Final = rb"([0-9A-Fa-f]{1,16})(?:;%b(?:=(?:%b|%b))?+)*+\r\n" % (_TOKEN, _TOKEN, _QUOTED)
_SIZE_BEGUN: Final = rb"[0-9A-Fa-f]{1,16}(?:;[^\n]*)?\r?"

FIRST_LINE: Final = re.compile(_SIZE_LINE)
NEXT_LINE: Final = re.compile(rb"\r\n" + _SIZE_LINE)  # behind the data of a chunk
FIRST_BEGUN: Final = re.compile(_SIZE_BEGUN)
NEXT_BEGUN: Final = re.compile(rb"\r(?:\n(?:%b)?)?" % _SIZE_BEGUN)


class Chunks:
    """Reads the chunks of one body. `ended` is set behind the size line of the last one: trailers or nothing follow.

    As strict as RFC 9112, 7.1, says. It works once for each packet and once for each chunk, not for each byte.
    """

    def __init__(self, max_overhead_bytes: int) -> None:
        """`max_overhead_bytes` of size lines there may be in all, beyond `CHUNK_OVERHEAD_BYTES` for each."""
        self._max_overhead_bytes = max_overhead_bytes
        self._overhead_bytes = 0
        self._missing_bytes = 0  # of the data of the chunk that is being read
        self._line, self._line_begun = FIRST_LINE, FIRST_BEGUN
        self._begun = bytearray()  # what has come of a line
        self.ended = False

    def feed(self, data: bytes, at: int) -> tuple[bytes, int]:
        """What of the body is in `data` from `at` on, and where that ends. Raises MalformedHttp or HeadersTooLarge."""
        pieces = []
        while at < len(data) and not self.ended:
            if missing := self._missing_bytes:
                piece = data[at : at + missing]
                self._missing_bytes = missing - len(piece)
                at += len(piece)
                pieces.append(piece)
            elif not self._begun and (line := self._line.match(data, at)):
                at = line.end()
                self._begin_chunk(line)
            else:
                at = self._feed_line(data, at)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), at

    def _feed_line(self, data: bytes, at: int) -> int:
        """Takes what belongs to a line that came in several packets, or is none, and says where that ends."""
        known = len(self._begun)
        line_feed = data.find(b"\n", at)
        end = line_feed + 1 or len(data)
        self._begun += data[at:end]
        line = self._line.fullmatch(self._begun) if line_feed >= 0 else None
        if line is not None:
            self._begin_chunk(line)
            self._begun.clear()
        elif (line_feed >= 0 and known + line_feed - at > 1) or not self._may_become_line(known):
            raise MalformedHttp("a chunk is its size in hexadecimal digits, CR LF, so many bytes, CR LF")
        elif len(self._begun) > self._max_overhead_bytes:
            raise HeadersTooLarge(self._max_overhead_bytes)
        return end

    def _may_become_line(self, known: int) -> bool:
        """Looks at its beginning alone, and no more once that has come."""
        return known > LINE_BEGIN_BYTES or bool(self._line_begun.fullmatch(self._begun[:LINE_BEGIN_BYTES]))

    def _begin_chunk(self, line: re.Match[bytes]) -> None:
        if (extra_bytes := len(line[0]) - CHUNK_OVERHEAD_BYTES) > 0:
            self._overhead_bytes += extra_bytes
            if self._overhead_bytes > self._max_overhead_bytes:
                raise HeadersTooLarge(self._max_overhead_bytes)
        self._missing_bytes = int(line[1], 16)
        self.ended = not self._missing_bytes
        self._line, self._line_begun = NEXT_LINE, NEXT_BEGUN
