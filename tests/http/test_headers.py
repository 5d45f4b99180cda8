"""app/http/headers.py: names in lower case, values as they came, in their order."""

from app.http.headers import value, values

SCOPE = {"headers": [(b"host", b"a"), (b"x-note", b"caf\xe9"), (b"x-note", b"two")]}


def test_values() -> None:
    assert values(SCOPE, b"x-note") == ["café", "two"]
    assert values(SCOPE, b"x-other") == []


def test_the_first_value() -> None:
    assert value(SCOPE, b"x-note") == "café"
    assert value(SCOPE, b"x-other") is None
