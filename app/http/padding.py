"""The `p` of a stream's events: text of random length, so that the size of a packet does not tell a token's length."""

import os

# A prefix of this string, as Workers AI sends it (protocol notes, section 2.3).
ALPHABET = b"abdefghijklmnoprstuvxyz1234567890"
_POOL_BYTES = 4096


class Padding:
    """Ready-made event endings, one for each length; `next` picks one with the system's random bytes."""

    def __init__(self, enabled: bool) -> None:
        lengths = range(1, len(ALPHABET) + 1) if enabled else ()
        self._endings = [b',"p":"%b"}\n\n' % ALPHABET[:length] for length in lengths] or [b"}\n\n"]
        self._pool = b""
        self._at = 0

    def next(self) -> bytes:
        """`,"p":"…"}` and the blank line that ends an event, or just `}` and the blank line when switched off."""
        if len(self._endings) == 1:
            return self._endings[0]
        if self._at == len(self._pool):
            self._pool = os.urandom(_POOL_BYTES)
            self._at = 0
        self._at += 1
        return self._endings[self._pool[self._at - 1] % len(self._endings)]
