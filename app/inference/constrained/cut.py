"""Why an answer in JSON was cut off: more tokens help one that was getting on, and no other."""

import re
from typing import Final

ENDLESS_CHARS: Final = 400
"""Of one text: longer than a person asks for without saying how long, and about 100 tokens."""

BLANK_CHARS: Final = 32
_TEXTS: Final = re.compile(r'"(?:[^"\\]|\\.)*("?)', re.DOTALL)


def why_cut(text: str, max_tokens: int) -> str:
    """What became of the answer, and what to do."""
    cut = f"was cut off at max_tokens ({max_tokens})"
    if len(text) - len(text.rstrip()) >= BLANK_CHARS:
        return f"{cut} in white space without end, and more tokens don't help: ask in the prompt for JSON"
    unfinished = _unfinished(text)
    if unfinished >= ENDLESS_CHARS:
        return (
            f"{cut} in a text of {unfinished} characters, and more tokens may not help: "
            "give it a maxLength, and say in the prompt what it is for"
        )
    return f"{cut}: ask for more"


def _unfinished(text: str) -> int:
    """The characters of a string that has no end."""
    last = None
    for last in _TEXTS.finditer(text):  # noqa: B007 - only the last may lack its end
        pass
    return 0 if last is None or last[1] else len(last[0]) - 1
