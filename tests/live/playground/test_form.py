"""The form is what the card's schema says, for whichever card, and keeps to it."""

from typing import Any

import pytest

from tests.live.playground.visit import Visit
from tests.live.server import CF, HF

pytestmark = pytest.mark.engine

CLAIMED = {"prompt", "messages", "lora", "stream"}  # asked for by the page itself
MODES = {"messages": "Chat", "prompt": "Single prompt"}


def branches(visit: Visit, model: str) -> dict[str, dict[str, Any]]:
    """The published properties, by the one that is required."""
    path = f"/client/v4/accounts/local/ai/models/schema?model={model}"
    published = visit.live.client.get(path).json()["result"]["input"]
    return {branch["required"][0]: branch["properties"] for branch in published["oneOf"]}


def defaults(visit: Visit) -> dict[str, float]:
    """What the server takes for a field that is not sent."""
    path = f"/client/v4/accounts/local/ai/models/schema?model={HF}&details=true"
    found: dict[str, float] = visit.live.client.get(path).json()["result"]["defaults"]
    return found


@pytest.mark.parametrize("model", [HF, CF])
def test_every_published_field_with_its_rules_and_no_other(visit: Visit, model: str) -> None:
    visit.page.locator("header select").select_option(model)
    for required, properties in branches(visit, model).items():
        visit.choose_mode(MODES[required])
        names = visit.page.eval_on_selector_all("[data-field]", "all => all.map((one) => one.dataset.field)")
        assert sorted(names) == sorted(properties.keys() - CLAIMED)
        for name in names:
            check_field(visit, name, properties[name])


def check_field(visit: Visit, name: str, schema: dict[str, Any]) -> None:
    field = visit.field(name)
    control = field.locator(".control > :is(textarea, select, input:not([type=range]))")
    hint = field.locator(".hint").inner_text()
    assert schema.get("description", "") in hint
    if "default" in schema:
        assert f"efault {str(schema['default']).lower()}" in hint
    if schema.get("type") == "boolean":
        assert control.is_checked() is schema.get("default", False)
    if schema.get("type") not in ("integer", "number"):
        return
    bounds = [schema.get("minimum"), schema.get("maximum")]
    shown = [control.get_attribute(side) for side in ("min", "max")]
    assert [float(each) if each else None for each in shown] == bounds
    placeholder = str(control.get_attribute("placeholder"))
    known = defaults(visit).get(name, schema.get("default"))
    assert placeholder == ("not set" if known is None else f"default {known:g}")
    if None not in bounds:
        assert f"{bounds[0]} to {bounds[1]}" in hint
        if bounds[1] - bounds[0] < 1000:
            slider = field.locator("input[type=range]")
            assert [float(slider.get_attribute(side) or "") for side in ("min", "max")] == bounds
            assert slider.evaluate("slider => slider.classList.contains('unset')")
            assert slider.evaluate("slider => slider.classList.contains('nowhere')") is (known is None)
            assert known is None or float(slider.input_value()) == known


@pytest.mark.parametrize(
    ("name", "typed", "problem"),
    [
        ("temperature", "5.1", "at most 5"),
        ("temperature", "-0.1", "at least 0"),
        ("top_k", "51", "at most 50"),
        ("top_k", "0", "at least 1"),
        ("top_k", "2.5", "a whole number"),
        ("seed", "10000000000", "at most 9999999999"),
        ("repetition_penalty", "2.01", "at most 2"),
        ("max_tokens", "1.5", "a whole number"),
        ("tools", "{", "JSON"),
        ("tools", "{}", "an array"),
    ],
)
def test_what_breaks_the_schema_is_refused_in_the_form(
    visit: Visit, name: str, typed: str, problem: str
) -> None:
    visit.set(**{name: typed})
    assert visit.error_of(name).startswith(name)
    assert problem in visit.error_of(name)
    visit.ask("Hello")
    visit.page.wait_for_timeout(200)
    assert visit.runs == []
    assert visit.page.evaluate("document.activeElement.closest('[data-field]').dataset.field") == name
    assert visit.page.input_value("#composer") == "Hello"
    visit.set(**{name: ""})
    assert visit.error_of(name) == ""
    visit.answer("Hello")
    assert name not in visit.bodies[0]


def test_limits_are_those_of_the_chosen_card(visit: Visit) -> None:
    """The older card takes a top_p up to 2, the newer one from 0.001 to 1."""
    visit.set(top_p="1.5")
    assert visit.error_of("top_p") == ""
    visit.page.locator("header select").select_option(CF)
    visit.page.wait_for_selector("[data-field=response_format]")
    visit.ask("Hello")
    assert "at most 1" in visit.error_of("top_p")
    assert visit.runs == []


def test_a_slider_and_its_number_are_one(visit: Visit) -> None:
    slider = visit.field("temperature").locator("input[type=range]")
    number = visit.field("temperature").locator("input[type=number]")
    slider.focus()
    for _ in range(3):
        visit.page.keyboard.press("ArrowRight")
    assert number.input_value() == slider.input_value() == "0.9"
    number.fill("2.5")
    assert slider.input_value() == "2.5"
    visit.answer("Hello")
    assert visit.bodies[0]["temperature"] == 2.5
    visit.page.click("text=Reset all")
    assert number.input_value() == ""


def test_every_kind_of_value_is_sent_as_its_type(visit: Visit) -> None:
    visit.choose_mode("Single prompt")
    visit.field("raw").locator("input").check()
    visit.set(max_tokens=2, temperature="0.5", top_p=1, top_k=5, seed=9999999999, presence_penalty="1e-1")
    visit.answer("[INST] Hello [/INST]")
    assert visit.bodies[0] == {
        "prompt": "[INST] Hello [/INST]",
        "raw": True,
        "max_tokens": 2,
        "temperature": 0.5,
        "top_p": 1,
        "top_k": 5,
        "seed": 9999999999,
        "presence_penalty": 0.1,
        "stream": True,
    }


def test_a_prompt_keeps_to_the_schemas_length(visit: Visit) -> None:
    visit.choose_mode("Single prompt")
    visit.ask("x" * 6145)
    assert "at most 6144 characters, has 6145" in visit.page.locator("#composer-error").inner_text()
    visit.ask("   ")
    assert "must not be empty" in visit.page.locator("#composer-error").inner_text()
    assert visit.runs == []


def test_home_on_an_unset_slider_sets_its_minimum(visit: Visit) -> None:
    slider = visit.field("temperature").locator("input[type=range]")
    assert slider.get_attribute("aria-valuetext") == "default 0.6"
    slider.focus()
    visit.page.keyboard.press("Home")
    assert visit.field("temperature").locator("input[type=number]").input_value() == "0"
    assert slider.get_attribute("aria-valuetext") == "0"
    nowhere = visit.field("top_k").locator("input[type=range]")
    assert nowhere.get_attribute("aria-valuetext") == "not set"
    nowhere.focus()
    visit.page.keyboard.press("Home")
    assert visit.field("top_k").locator("input[type=number]").input_value() == "1"


def test_what_was_typed_is_there_again(visit: Visit) -> None:
    visit.set(tools="[1]", seed=7)
    visit.choose_mode("Single prompt")
    visit.field("raw").locator("input").check()
    assert visit.field("seed").locator("input").input_value() == "7"
    visit.choose_mode("Chat")
    assert visit.field("tools").locator("textarea").input_value() == "[1]"
    visit.choose_mode("Single prompt")
    assert visit.field("raw").locator("input").is_checked()
