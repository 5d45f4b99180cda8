"""app/http/request_values.py: names in lower case, values as they came, in their order."""

from app.http.request_values import header, headers

SCOPE = {"headers": [(b"host", b"a"), (b"x-note", b"caf\xe9"), (b"x-note", b"two")]}


def test_values() -> None:
    assert headers(SCOPE, b"x-note") == ["café", "two"]
    assert headers(SCOPE, b"x-other") == []


def test_the_first_value() -> None:
    assert header(SCOPE, b"x-note") == "café"
    assert header(SCOPE, b"x-other") is None
