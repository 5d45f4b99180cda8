import uuid

import pytest

from app.errors import OperatorError
from app.names import checked_name, looks_like_id


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "0", "x" * 64, "my-public", "publicity", "deadbeef"])
def test_good_names(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("", "1 to 64 characters"),
        ("x" * 65, "1 to 64 characters"),
        (".hidden", "first one a letter"),
        ("-rf", "first one a letter"),
        ("a/b", "1 to 64"),
        ("a b", "1 to 64"),
        ("a\n", "1 to 64"),
        ("é", "1 to 64"),
        ("public", "reserved"),
        ("Public", "reserved"),
        ("cf-public-magicoder", "reserved"),
        ("CF-Public-x", "reserved"),
        (str(uuid.UUID(int=5)), "uuid"),
        (str(uuid.UUID(int=5)).upper(), "uuid"),
        (uuid.UUID(int=5).hex, "uuid"),
    ],
)
def test_refused_names(name: str, phrase: str) -> None:
    with pytest.raises(OperatorError, match=phrase) as refused:
        checked_name(name)
    assert str(refused.value).isprintable()


def test_ids() -> None:
    assert looks_like_id("00000000-0000-0000-0000-000000000005")
    assert not looks_like_id("00000000-000000000000-0000-000000000005")
