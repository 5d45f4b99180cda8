"""Whether a text is one that a grammar in GBNF allows: as Python's regular expressions can't say it, by trying."""

import re
from functools import cache
from typing import Literal

_TOKEN = re.compile(
    r'\s+|(?P<literal>"(?:\\.|[^"\\])*")|(?P<set>\[(?:\\.|[^\]\\])*\])|(?P<name>[a-z][a-z0-9-]*)'
    r"|(?P<times>\{\d+(?:,\d*)?\})|(?P<sign>[()|*+?])"
)


Leaf = tuple[Literal["literal", "set", "name"], str]
Group = tuple[Literal["or", "row"], "tuple[Node, ...]"]
Times = tuple[Literal["times"], "tuple[Node, int, int | None]"]
Node = Leaf | Group | Times


class Reader:
    """Parses the grammar's text; `takes` follows it over a text."""

    def __init__(self, grammar: str) -> None:
        self.rules: dict[str, Node] = {}
        for line in grammar.strip().split("\n"):
            name, body = line.split(" ::= ", 1)
            self.rules[name] = _Body(body).alternatives()

    def takes(self, text: str) -> bool:
        @cache
        def ends(node: Node, start: int) -> frozenset[int]:
            """Every place where `node` may end that begins at `start`."""
            if node[0] == "literal":
                return frozenset([start + len(node[1])]) if text.startswith(node[1], start) else frozenset()
            if node[0] == "set":
                fits = start < len(text) and re.fullmatch(node[1], text[start], re.DOTALL)
                return frozenset([start + 1]) if fits else frozenset()
            if node[0] == "name":
                return ends(self.rules[node[1]], start)
            if node[0] == "or":
                return frozenset[int]().union(*(ends(one, start) for one in node[1]))
            places = {start}
            if node[0] == "row":
                for part in node[1]:
                    places = set[int]().union(*(ends(part, place) for place in places))
                return frozenset(places)
            part, least, most = node[1]
            found, count = set[int](), 0
            while places:
                if count >= least:
                    if places <= found:
                        break
                    found |= places
                if most is not None and count == most:
                    break
                places, count = set[int]().union(*(ends(part, place) for place in places)), count + 1
            return frozenset(found)

        return len(text) in ends(("name", "root"), 0)


SIGNS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class _Body:
    def __init__(self, body: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        place = 0
        while place < len(body):
            match = _TOKEN.match(body, place)
            assert match, f"no GBNF: {body[place : place + 40]!r}"
            if match.lastgroup:
                self._tokens.append((match.lastgroup, match[0]))
            place = match.end()

    def alternatives(self) -> Node:
        rows = [self._row()]
        while self._tokens and self._tokens[0] == ("sign", "|"):
            self._tokens.pop(0)
            rows.append(self._row())
        return ("or", tuple(rows))

    def _row(self) -> Node:
        parts: list[Node] = []
        while self._tokens and self._tokens[0] not in (("sign", "|"), ("sign", ")")):
            parts.append(self._times(self._part()))
        return ("row", tuple(parts))

    def _part(self) -> Node:
        kind, text = self._tokens.pop(0)
        if kind == "literal":
            return ("literal", _unescaped(text[1:-1]))
        if kind == "set":
            return ("set", text)
        if kind == "name":
            return ("name", text)
        assert text == "(", text
        inner = self.alternatives()
        assert self._tokens.pop(0) == ("sign", ")")
        return inner

    def _times(self, part: Node) -> Node:
        while self._tokens and (self._tokens[0][0] == "times" or self._tokens[0][1] in "*+?"):
            kind, text = self._tokens.pop(0)
            if kind == "times":
                least, _, most = text[1:-1].partition(",")
                bounds = int(least), int(most) if most else (None if "," in text else int(least))
            else:
                bounds = SIGNS[text]
            part = ("times", (part, *bounds))
        return part


def _unescaped(text: str) -> str:
    return re.sub(r"\\(u....|.)", lambda m: chr(int(m[1][1:], 16)) if len(m[1]) == 5 else m[1], text)
