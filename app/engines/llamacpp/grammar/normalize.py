"""What a JSON schema allows in one place, as plain schemas: without references, `allOf`, `anyOf` and `oneOf`."""

import json
from collections.abc import Iterable
from typing import Any, Final

from app.json_grammar.forms import Forms
from app.json_grammar.gbnf import CannotConvert

MAX_S: Final = 0.3
"""Of computing: it is done where nothing else happens meanwhile."""

MAX_READ_CHARS: Final = 4_000_000
"""Of schemas in JSON, taken together over all the places that refer to them."""

NO_VALUE: Final = "it allows no value in some place"


class Schemas:
    """Of one root, which is what `#` refers to."""

    def __init__(self, root: Any) -> None:
        self._forms = Forms(root, MAX_S)
        self.root = self._forms.root
        self._left = MAX_READ_CHARS

    def plain(self, schemas: Iterable[Any]) -> dict[str, dict[str, Any]]:
        """All that any of them allows, by its text, each once; `{}` allows everything. Raises CannotConvert."""
        found: dict[str, dict[str, Any]] = {}
        for schema in schemas:
            for form in self._forms.of(schema):
                text = json.dumps(form)
                self._left -= len(text)
                if self._left < 0:
                    raise CannotConvert("its parts refer to each other too often")
                found[text] = form
        if not found:
            raise CannotConvert(NO_VALUE)
        return found
