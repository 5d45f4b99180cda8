"""Clients of other people, as their users have them: what each gets, and what its user reads when something is wrong.

Every program is run once against servers with the fake engine; tests/live/test_clients.py has them against a real one.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from app.engines.fake import ANSWER
from tests.clients.programs import ALL_PROGRAMS, Program
from tests.clients.situations import PLACE

WORDS = len(ANSWER.split())
WEATHER = {"name": "get_weather", "arguments": {"city": "Berlin"}}
ENDS = {"stop", "end_turn"}
CALL_ENDS = {"tool_calls", "tool-calls", "tool_use"}

Way = dict[str, Any]
Outcome = tuple[Program, dict[str, Way]]


@pytest.fixture(scope="module", params=ALL_PROGRAMS, ids=str)
def outcome(
    request: pytest.FixtureRequest, situation: str, tmp_path_factory: pytest.TempPathFactory
) -> Outcome:
    program: Program = request.param
    return program, program.run(situation, tmp_path_factory.mktemp("home"))


def ways(outcome: Outcome, part: str) -> Iterator[Way]:
    """Each way of the client that has this part, as its row says."""
    program, told = outcome
    assert told.keys() == program.ways.keys()
    for name, parts in program.ways.items():
        assert (part in told[name]) == (part in parts), name
        if part in parts:
            yield told[name]


def test_answers(outcome: Outcome) -> None:
    for way in ways(outcome, "text"):
        assert way["text"] == ANSWER
        assert way.get("finish", "stop") in ENDS
        assert way.get("tokens", WORDS) == WORDS


def test_streams(outcome: Outcome) -> None:
    for way in ways(outcome, "streamed"):
        assert way["streamed"] == ANSWER
        assert way.get("streamed_finish", "stop") in ENDS
        assert way.get("streamed_tokens", WORDS) == WORDS


def test_an_adapter_behind_the_models_name(outcome: Outcome) -> None:
    for way in ways(outcome, "lora"):
        assert way["lora"] == f"[pirate] {ANSWER}"


def test_tools(outcome: Outcome) -> None:
    for way in ways(outcome, "tools"):
        assert way["tools"]["called"] == WEATHER
        assert way["tools"].get("finish", "tool_calls") in CALL_ENDS
        assert way["tools"].get("result", "Rain in Berlin") == "Rain in Berlin"
        assert way["tools"].get("after", ANSWER) == ANSWER


def test_objects(outcome: Outcome) -> None:
    for way in ways(outcome, "object"):
        assert way["object"] == PLACE
        assert way.get("object_streamed", PLACE) == PLACE
        assert way.get("pieces", [PLACE])[-1] == PLACE
        assert all(value == PLACE for value in way.get("objects", {}).values())
        assert way.get("strict", {"called": WEATHER})["called"] == WEATHER


FAILURES = {
    "unknown_model": (400, "No such model @cf/none/such or task", {"model_not_found", "not_found_error"}),
    "bad_token": (401, "Authentication error", {"invalid_api_key", "authentication_error"}),
    "too_long": (
        413,
        "exceeded this model input limit (3072)",
        {"context_length_exceeded", "invalid_request_error"},
    ),
    "overload": (429, "Capacity temporarily exceeded", {"rate_limit_exceeded", "overloaded_error"}),
}


@pytest.mark.parametrize("name", FAILURES)
def test_errors_reach_the_user(outcome: Outcome, name: str) -> None:
    for way in ways(outcome, "failures"):
        for failures in way["failures"].values():
            check_failure(name, failures[name])


def check_failure(name: str, told: dict[str, Any]) -> None:
    """The text in what the client's own error says, the status and the code where it has them."""
    status, text, codes = FAILURES[name]
    assert told["class"] is not None, told
    assert text in told["message"]
    assert told["status"] == status
    readable = f"{told['message']} {told.get('body')}"
    assert {told.get("code"), told.get("type")} & codes or any(code in readable for code in codes), told
