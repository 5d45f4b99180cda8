"""How much JSON a body may hold, found out before it is parsed: ten megabytes of `[],` are three million lists.

A parser holds the interpreter until it is done, in a thread too: what it is given has to be small enough to stall nobody.
"""

from itertools import accumulate

from app.errors import IncompleteRequest, RequestTooLarge

MAX_JSON_VALUES = 100_000
"""Objects, lists, texts, numbers, names of properties. A prompt of 32 768 token ids has a third of it."""
MAX_JSON_DEPTH = 1000

QUOTE = b'"'
STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
NO_BRACKETS = bytes(byte for byte in range(256) if byte not in STEPS)


def check_json_bounds(body: bytes) -> None:
    """Raises RequestTooLarge or IncompleteRequest. Bytes that are not JSON may pass: their parser refuses them.

    What stands inside texts does not count. Only where commas and brackets are many are the texts taken out for it.
    """
    openings = body.count(b"[") + body.count(b"{")
    if openings <= MAX_JSON_DEPTH and _separators(body) + openings < MAX_JSON_VALUES:
        return
    bare = _without_texts(body)
    openings = bare.count(b"[") + bare.count(b"{")
    if _separators(bare) + openings >= MAX_JSON_VALUES:
        raise RequestTooLarge(MAX_JSON_VALUES, "the body's JSON must have at most", "values")
    if openings > MAX_JSON_DEPTH and _depth(bare) > MAX_JSON_DEPTH:
        raise IncompleteRequest(f"valid JSON that nests at most {MAX_JSON_DEPTH} deep")


def _separators(body: bytes) -> int:
    return body.count(b",") + body.count(b":")


def _without_texts(body: bytes) -> bytes:
    """What is outside of texts. In JSON a backslash stands inside of texts only, so pairs begin where a run does."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
    if body.count(QUOTE) > 2 * MAX_JSON_VALUES:
        raise RequestTooLarge(MAX_JSON_VALUES, "the body's JSON must have at most", "values")
    return b"".join(body.split(QUOTE)[::2])


def _depth(bare: bytes) -> int:
    return max(accumulate(map(STEPS.__getitem__, bare.translate(None, NO_BRACKETS))))
