"""app.engines.llamacpp.server: nobody is kept out for ever, and nobody waits without need."""

from app.engines.llamacpp.server import Turns


class Requests:
    """Names with their adapters' ids: what begins is kept in order."""

    def __init__(self, slots: int) -> None:
        self.begun: list[str] = []
        self.turns = Turns[str](slots, self.begun.append)

    def ask(self, *names: str) -> None:
        """The adapter is the first letter, `b` is the base."""
        for name in names:
            self.turns.ask(name, None if name[0] == "b" else ord(name[0]))

    def leave(self, *names: str) -> None:
        for name in names:
            self.turns.leave(name)


def test_those_with_one_adapter_run_together() -> None:
    requests = Requests(2)
    requests.ask("b1", "b2", "b3")
    assert requests.begun == ["b1", "b2"]
    requests.leave("b2")
    assert requests.begun == ["b1", "b2", "b3"]


def test_no_more_of_them_begin_while_another_adapter_waits() -> None:
    requests = Requests(2)
    requests.ask("b1", "p1", "b2", "p2")
    assert requests.begun == ["b1"]
    requests.leave("b1")
    assert requests.begun == ["b1", "p1", "p2"]
    requests.leave("p1")
    assert requests.begun == ["b1", "p1", "p2"]
    requests.leave("p2")
    assert requests.begun == ["b1", "p1", "p2", "b2"]


def test_who_finds_no_slot_comes_after_the_other_adapters() -> None:
    requests = Requests(1)
    requests.ask("b1", "p1", "p2", "j1")
    for name in ("b1", "p1", "j1"):
        requests.leave(name)
    assert requests.begun == ["b1", "p1", "j1", "p2"]


def test_one_that_waits_may_leave_and_holds_up_nobody() -> None:
    requests = Requests(2)
    requests.ask("b1", "p1", "b2")
    requests.leave("p1")
    assert requests.begun == ["b1", "b2"]
    requests.leave("p1", "b1", "b2")
    requests.ask("p2")
    assert requests.begun == ["b1", "b2", "p2"]
