"""app/logs.py: the steps of a start, kept while it is watched."""

from app.logs import StartSteps, log_startup


def test_steps_are_kept_from_watching_to_closing() -> None:
    log_startup("before")
    steps = StartSteps()
    steps.watch()
    log_startup("one")
    log_startup("two %s")
    steps.close()
    log_startup("after")
    assert [name for name, _ in steps.steps] == ["one", "two %s"]
    first, second = (at_s for _, at_s in steps.steps)
    assert 0 <= first <= second
