"""app/logs.py: the steps of a start, kept while it is watched."""

from app.logs import StartSteps, reached


def test_steps_are_kept_from_watching_to_closing() -> None:
    reached("before")
    steps = StartSteps()
    steps.watch()
    reached("one")
    reached("two %s")
    steps.close()
    reached("after")
    assert [name for name, _ in steps.steps] == ["one", "two %s"]
    first, second = (at_s for _, at_s in steps.steps)
    assert 0 <= first <= second
