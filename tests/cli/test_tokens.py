"""`outworker token create | list`: names, columns, and accounts that nobody meant."""

import pytest

from tests.cli.conftest import Command


def test_a_name_in_columns(command: Command) -> None:
    command("token", "create", "--account", "local", "--scope", "ai:read", "--name", "Ann's laptop")
    command("token", "create", "--account", "bob-and-company", "--scope", "ai:write", "--new-account")
    done = command("token", "list")
    assert done.status in (0, None)
    first, second = sorted(done.out.splitlines(), key=lambda line: "bob" in line)  # both of one second
    assert first.endswith("  Ann's laptop")
    assert first.index("ai:read") == second.index("ai:write")
    assert second.split()[1:3] == ["bob-and-company", "ai:write"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("token", "create", "--account", "locla", "--scope", "ai:read"),
        ("token", "list", "--account", "locla"),
        ("adapter", "add", "nowhere", "--name", "n", "--account", "locla"),
        ("adapter", "list", "--account", "locla"),
        ("adapter", "show", "n", "--account", "locla"),
        ("adapter", "rm", "n", "--account", "locla"),
    ],
)
def test_an_account_of_a_typing_error(command: Command, arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("outworker: account locla: no account has this id; there are local")
    assert command("token", "list").out == ""


def test_an_account_is_known_after_its_first_token(command: Command) -> None:
    for more in (("--new-account",), (), ("--new-account",)):
        made = command("token", "create", "--account", "bob", "--scope", "ai:read", *more)
        assert made.out.startswith("id ")
    assert len(command("token", "list", "--account", "bob").out.splitlines()) == 3


@pytest.mark.parametrize("name", ["x" * 65, "two\nlines", " ", "\x1b[31mred"])
def test_names_that_are_none(command: Command, name: str) -> None:
    done = command("token", "create", "--account", "local", "--scope", "ai:read", "--name", name)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("outworker: --name: must be 1 to 64 printable characters")
    assert command("token", "list").out == ""
