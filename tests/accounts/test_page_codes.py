"""app/accounts/page_codes.py: codes work once, for a while, and only so many."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, select

from app.accounts.page_codes import CODE, CODE_LIFETIME_S, CODES_MAX, PageCodes, page_link
from app.database.opening import open_database
from app.database.tables import PAGE_CODES


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def codes(database: Engine, clock: Callable[[], float]) -> PageCodes:
    return PageCodes(database, clock)


def test_a_code_works_once(codes: PageCodes) -> None:
    code = codes.make()
    assert CODE.fullmatch(code)
    assert [codes.take(code), codes.take(code)] == [True, False]


def test_another_process_makes_it(codes: PageCodes, database: Engine, clock: Clock) -> None:
    elsewhere = open_database(database.url)
    assert codes.take(PageCodes(elsewhere, clock).make())
    elsewhere.dispose()


def test_it_works_within_its_time(codes: PageCodes, clock: Clock) -> None:
    code, late = codes.make(), codes.make()
    clock.now += CODE_LIFETIME_S - 1
    assert codes.take(code)
    clock.now += 1
    assert not codes.take(late)


@pytest.mark.parametrize("code", ["", "x", "x" * 43, "x" * 44, "' OR 1=1 --", "\u0661" * 43, "x" * 42 + "\n"])
def test_what_is_not_a_code(codes: PageCodes, code: str) -> None:
    codes.make()
    assert not codes.take(code)


def test_of_threads_that_take_one_code_one_gets_it(codes: PageCodes) -> None:
    code = codes.make()
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: codes.take(code), range(32))) == 1


def test_the_newest_codes_are_kept_and_no_text_of_one(
    codes: PageCodes, database: Engine, clock: Clock
) -> None:
    made = []
    for _ in range(CODES_MAX + 5):
        clock.now += 1
        made.append(codes.make())
    assert not codes.take(made[4])
    assert codes.take(made[5])
    with database.connect() as connection:
        rows = connection.execute(select(PAGE_CODES)).all()
    assert len(rows) == CODES_MAX - 1
    assert not any(code in str(row) for code in made for row in rows)


def test_codes_that_are_too_old_are_deleted(codes: PageCodes, database: Engine, clock: Clock) -> None:
    codes.make()
    clock.now += CODE_LIFETIME_S
    codes.make()
    with database.connect() as connection:
        assert len(connection.execute(select(PAGE_CODES)).all()) == 1


def test_the_code_stands_in_the_fragment() -> None:
    assert page_link("http://127.0.0.1:8788", "abc") == "http://127.0.0.1:8788/#code=abc"
    assert page_link("http://127.0.0.1:8788", None) == "http://127.0.0.1:8788/"
