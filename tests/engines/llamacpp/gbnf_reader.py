"""Whether a text is one that a grammar in GBNF allows: as Python's regular expressions can't say it, by trying."""

import re
from functools import cache

_TOKEN = re.compile(
    r'\s+|(?P<literal>"(?:\\.|[^"\\])*")|(?P<set>\[(?:\\.|[^\]\\])*\])|(?P<name>[a-z][a-z0-9-]*)'
    r"|(?P<times>\{\d+(?:,\d*)?\})|(?P<sign>[()|*+?])"
)


class Reader:
    """Parses the grammar's text; `takes` follows it over a text."""

    def __init__(self, grammar: str) -> None:
        self._rules = {}
        for line in grammar.strip().split("\n"):
            name, body = line.split(" ::= ", 1)
            self._rules[name] = _Body(body).alternatives()

    def takes(self, text: str) -> bool:
        @cache
        def ends(node, start):
            """Every place where `node` may end that begins at `start`."""
            kind, value = node
            if kind == "literal":
                return frozenset([start + len(value)]) if text.startswith(value, start) else frozenset()
            if kind == "set":
                fits = start < len(text) and re.fullmatch(value, text[start], re.DOTALL)
                return frozenset([start + 1]) if fits else frozenset()
            if kind == "name":
                return ends(self._rules[value], start)
            if kind == "or":
                return frozenset().union(*(ends(one, start) for one in value))
            if kind == "row":
                places = {start}
                for part in value:
                    places = set().union(*(ends(part, place) for place in places))
                return frozenset(places)
            part, least, most = value
            found, places, count = set(), {start}, 0
            while places:
                if count >= least:
                    if places <= found:
                        break
                    found |= places
                if most is not None and count == most:
                    break
                places, count = set().union(*(ends(part, place) for place in places)), count + 1
            return frozenset(found)

        return len(text) in ends(("name", "root"), 0)


class _Body:
    def __init__(self, body: str) -> None:
        self._tokens, place = [], 0
        while place < len(body):
            match = _TOKEN.match(body, place)
            assert match, f"no GBNF: {body[place : place + 40]!r}"
            if match.lastgroup:
                self._tokens.append((match.lastgroup, match[0]))
            place = match.end()

    def alternatives(self):
        rows = [self._row()]
        while self._tokens and self._tokens[0] == ("sign", "|"):
            self._tokens.pop(0)
            rows.append(self._row())
        return ("or", tuple(rows))

    def _row(self):
        parts = []
        while self._tokens and self._tokens[0] not in (("sign", "|"), ("sign", ")")):
            parts.append(self._times(self._part()))
        return ("row", tuple(parts))

    def _part(self):
        kind, text = self._tokens.pop(0)
        if kind == "literal":
            return (kind, _unescaped(text[1:-1]))
        if kind == "set":
            return (kind, text)
        if kind == "name":
            return (kind, text)
        assert text == "(", text
        inner = self.alternatives()
        assert self._tokens.pop(0) == ("sign", ")")
        return inner

    def _times(self, part):
        while self._tokens and (self._tokens[0][0] == "times" or self._tokens[0][1] in "*+?"):
            kind, text = self._tokens.pop(0)
            if kind == "times":
                least, _, most = text[1:-1].partition(",")
                bounds = int(least), int(most) if most else (None if "," in text else int(least))
            else:
                bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}[text]
            part = ("times", (part, *bounds))
        return part


def _unescaped(text: str) -> str:
    return re.sub(r"\\(u....|.)", lambda m: chr(int(m[1][1:], 16)) if len(m[1]) == 5 else m[1], text)
