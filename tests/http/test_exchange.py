"""app.http.exchange: request ids are UUIDs of version 4."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.http.exchange import Exchange, random_uuid


@given(st.binary(min_size=16, max_size=16))
def test_as_the_standard_library_makes_them(random: bytes) -> None:
    assert random_uuid(random.hex()) == str(UUID(bytes=random, version=4))


def test_no_two_requests_share_one() -> None:
    ids = {Exchange().request_id for _ in range(1000)}
    assert len(ids) == 1000
    assert {UUID(each).version for each in ids} == {4}
