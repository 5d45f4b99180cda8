"""llama.cpp's way through a grammar: every place that it may have come to, each with all that is still open above it."""

import re

from tests.engines.llamacpp.gbnf_reader import Reader


class Stacks:
    """`now` are the stacks after the text so far, innermost place last; a finished answer has an empty one."""

    def __init__(self, grammar: str) -> None:
        self._rules = {}
        for name, node in Reader(grammar)._rules.items():
            self._rules[name] = self._alternatives(node)
        self.now = self._settled({((("name", "root"),),)})

    def characters(self):
        """Some of each set that a place may take, with its neighbours: two sets that meet have one of these in common."""
        found = set()
        for stack in self.now:
            for text in re.findall(r"\\u....|\\.|[^\\]", stack[-1][0][1][1:-1]) if stack else ():
                code = int(text[2:], 16) if text.startswith("\\u") else ord(text[-1])
                found |= {chr(near) for near in (code - 1, code, code + 1) if near >= 0}
        return {one for one in found if any(_fits(one, stack) for stack in self.now)}

    def takers(self, character):
        return [stack for stack in self.now if _fits(character, stack)]

    def take(self, character):
        self.now = self._settled({_pushed(stack[:-1], stack[-1][1:]) for stack in self.takers(character)})

    def _settled(self, stacks):
        """Until each begins with a character."""
        found, waiting, seen = set(), list(stacks), set(stacks)
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

    def _alternatives(self, node):
        return [self._row(one) for one in node[1]]

    def _row(self, node):
        return tuple(part for one in node[1] for part in self._parts(one))

    def _parts(self, node):
        kind, value = node
        if kind == "literal":
            return [("set", f"[{re.escape(one)}]") for one in value]
        if kind in ("set", "name"):
            return [node]
        if kind == "or":
            return [self._named(self._alternatives(node))]
        part, least, most = value
        return self._repeated(self._parts(part), least, most)

    def _repeated(self, parts, least, most):
        """Nested, each repetition in the one before."""
        if most is None:
            name = f"{len(self._rules)}*"
            self._rules[name] = [(*parts, ("name", name)), ()]
            return [*parts * least, ("name", name)]
        rest = []
        for _ in range(most - least):
            rest = [self._named([(*parts, *rest), ()])]
        return [*parts * least, *rest]

    def _named(self, alternatives):
        name = f"{len(self._rules)}+"
        self._rules[name] = alternatives
        return ("name", name)


def _pushed(stack, row):
    return (*stack, row) if row else stack


def _fits(character, stack):
    return bool(stack) and re.fullmatch(stack[-1][0][1], character, re.DOTALL) is not None
