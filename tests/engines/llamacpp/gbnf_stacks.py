"""llama.cpp's way through a grammar: every place that it may have come to, each with all that is still open above it."""

import re
from collections.abc import Iterable

from tests.engines.llamacpp.gbnf_reader import Group, Leaf, Node, Reader

Row = tuple[Leaf, ...]
Stack = tuple[Row, ...]


class Stacks:
    """`now` are the stacks after the text so far, innermost place last; a finished answer has an empty one."""

    def __init__(self, grammar: str) -> None:
        self._rules: dict[str, list[Row]] = {}
        for name, node in Reader(grammar).rules.items():
            assert node[0] == "or"
            self._rules[name] = self._alternatives(node)
        self.now = self._settled({((("name", "root"),),)})

    def characters(self) -> set[str]:
        """Some of each set that a place may take, with its neighbours: two sets that meet have one of these in common."""
        found: set[str] = set()
        for stack in self.now:
            for text in re.findall(r"\\u....|\\.|[^\\]", stack[-1][0][1][1:-1]) if stack else ():
                code = int(text[2:], 16) if text.startswith("\\u") else ord(text[-1])
                found |= {chr(near) for near in (code - 1, code, code + 1) if near >= 0}
        return {one for one in found if any(_fits(one, stack) for stack in self.now)}

    def takers(self, character: str) -> list[Stack]:
        return [stack for stack in self.now if _fits(character, stack)]

    def take(self, character: str) -> None:
        self.now = self._settled({_pushed(stack[:-1], stack[-1][1:]) for stack in self.takers(character)})

    def _settled(self, stacks: set[Stack]) -> set[Stack]:
        """Until each begins with a character."""
        found, waiting, seen = set[Stack](), list(stacks), set(stacks)
        while waiting:
            stack = waiting.pop()
            if not stack or stack[-1][0][0] == "set":
                found.add(stack)
                continue
            (_, name), *rest = stack[-1]
            for row in self._rules[name]:
                after = _pushed(_pushed(stack[:-1], tuple(rest)), row)
                if after not in seen:
                    seen.add(after)
                    waiting.append(after)
        return found

    def _alternatives(self, node: Group) -> list[Row]:
        return [self._row(one) for one in node[1]]

    def _row(self, node: Node) -> Row:
        assert node[0] == "row"
        return tuple(part for one in node[1] for part in self._parts(one))

    def _parts(self, node: Node) -> list[Leaf]:
        if node[0] == "literal":
            return [("set", f"[{re.escape(one)}]") for one in node[1]]
        if node[0] == "set" or node[0] == "name":
            return [node]
        if node[0] == "or" or node[0] == "row":
            return [self._named(self._alternatives(node))]
        part, least, most = node[1]
        return self._repeated(self._parts(part), least, most)

    def _repeated(self, parts: list[Leaf], least: int, most: int | None) -> list[Leaf]:
        """Nested, each repetition in the one before."""
        if most is None:
            name = f"{len(self._rules)}*"
            self._rules[name] = [(*parts, ("name", name)), ()]
            return [*parts * least, ("name", name)]
        rest: list[Leaf] = []
        for _ in range(most - least):
            rest = [self._named([(*parts, *rest), ()])]
        return [*parts * least, *rest]

    def _named(self, alternatives: Iterable[Row]) -> Leaf:
        name = f"{len(self._rules)}+"
        self._rules[name] = list(alternatives)
        return ("name", name)


def _pushed(stack: Stack, row: Row) -> Stack:
    return (*stack, row) if row else stack


def _fits(character: str, stack: Stack) -> bool:
    return bool(stack) and re.fullmatch(stack[-1][0][1], character, re.DOTALL) is not None
