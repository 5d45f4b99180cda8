"""The same visit over every engine: the real command, the stand-in in the engine's own form, through HTTP.

What only one engine has is tested beside it; what a client sees must not depend on the engine.
"""

import json
import math
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app.standin.recipe.text import Entry, json_questions, load
from tests.adapters.make import Adapter
from tests.inference.corpus import __main__ as corpus
from tests.inference.corpus import load as load_corpus
from tests.live.account import Account
from tests.live.pages import blocks
from tests.live.server import HF, OPENAI_CHAT, LiveServer, changed_server, leave_after, sse_events
from tests.live.structured import (  # noqa: F401  they run here, where engines are started
    test_a_message_says_which_text_ended_it,
    test_a_token_that_a_grammar_forbids_has_a_number,
    test_an_answer_is_of_another_form,
    test_an_answer_is_one_of_the_choices,
    test_fields_of_vllm,
    test_forms_that_are_none,
)
from tests.live.variants import committed, said, slightly_other

pytestmark = pytest.mark.engine

ENGINES = ["llamacpp", "transformers", "vllm"]
ENTRIES = load().entries
VOICES = (None, "pirate", "json")
PROMPTS = 50
CASES = [(entry, voice) for entry in ENTRIES[:PROMPTS] for voice in VOICES]
NOISE_NATS = 0.05
"""Log probabilities differ in rounding, in bfloat16 by up to 0.021 here: the tests of parity print it."""

LONG = {
    "model": HF,
    "max_tokens": 4000,
    "ignore_eos": True,
    "messages": [{"role": "user", "content": "Hello"}],
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "Weather of a city", "parameters": CITY}


@pytest.fixture(scope="module", params=ENGINES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One engine at a time, and vLLM's last: it goes on living for the tests that share it."""
    if request.param == "vllm":
        yield request.getfixturevalue("live")
        return
    with changed_server(tmp_path_factory.mktemp(request.param), f'engine = "{request.param}"') as started:
        yield started


@dataclass(frozen=True, slots=True)
class Told:
    """An answer and its tokens, each with its log probability, and those of the likeliest at its place."""

    text: str
    tokens: list[str]
    chosen: list[float]
    likely: list[dict[str, float]]


@pytest.fixture(scope="session")
def told() -> dict[str, list[Told]]:
    """What each engine answered to `CASES`, by its name."""
    return {}


def tell(server: LiveServer, case: tuple[Entry, str | None]) -> Told:
    entry, voice = case
    body = {
        "model": HF if voice is None else f"{HF}:{voice}",
        "messages": [{"role": "user", "content": entry.ask[0]}],
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 5,
    }
    answer = server.client.post(OPENAI_CHAT, json=body)
    assert answer.status_code == 200, answer.text
    choice = answer.json()["choices"][0]
    tokens = choice["logprobs"]["content"]
    likely = [{each["token"]: each["logprob"] for each in token["top_logprobs"]} for token in tokens]
    return Told(
        choice["message"]["content"],
        [token["token"] for token in tokens],
        [token["logprob"] for token in tokens],
        likely,
    )


def test_taught_questions_in_every_voice_at_once(
    server: LiveServer, told: dict[str, list[Told]], request: pytest.FixtureRequest
) -> None:
    """At temperature 0, in mixed batches; the answers are kept for the comparison of engines."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda case: tell(server, case), CASES))
    told[request.node.callspec.params["server"]] = answers
    pairs = zip(CASES, answers, strict=True)
    assert [
        (entry.ask[0], voice) for (entry, voice), answer in pairs if not said(voice, entry, answer.text)
    ] == []


def test_a_stream_says_what_the_json_answer_says(server: LiveServer) -> None:
    body = {"prompt": ENTRIES[0].ask[0], "temperature": 0}
    whole = server.run(body).json()["result"]
    answer = server.client.post(server.path() + "?details=true", json={**body, "stream": True})
    events = [json.loads(event) for event in sse_events(answer.text)[:-1]]
    assert "".join(event["response"] for event in events) == whole["response"]
    assert events[-1]["usage"] == whole["usage"]
    assert events[-1]["finish_reason"] == "stop"
    assert len(events) > whole["usage"]["completion_tokens"] / 2


def test_seeds_repeat(server: LiveServer) -> None:
    prompt = "Say something new"
    hot = {"temperature": 2, "max_tokens": 12}
    first, again, other = (
        server.run({"prompt": prompt, **hot, "seed": seed}).json()["result"]["response"] for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other


def test_nothing_listens_but_the_server(server: LiveServer) -> None:
    """No TCP and no UDP port of the engine, and no Unix socket with a name that somebody else could connect to."""
    server.text("Hello")
    whole = psutil.Process(server.process.pid)
    sockets = [
        (process.pid, each)
        for process in (whole, *whole.children(recursive=True))
        for each in process.net_connections("all")
        if each.laddr
    ]
    own = int(server.url.rpartition(":")[2])
    network = [(pid, each) for pid, each in sockets if each.family != socket.AF_UNIX]
    assert {(pid, each.laddr.port) for pid, each in network} == {(server.server_process().pid, own)}
    names = {str(each.laddr) for _, each in sockets if each.family == socket.AF_UNIX}
    assert not [name for name in names if name.startswith(("@", "\0"))], "anybody may connect to it"
    left = [Path(name).parent for name in names if Path(name).exists()]
    assert not [folder for folder in left if folder.stat().st_mode & 0o77]


def test_every_sampling_field_is_taken(server: LiveServer) -> None:
    fields = {"temperature": (0, 5), "top_p": (0, 2), "top_k": (1, 50), "seed": (1, 9999999999)}
    fields |= dict.fromkeys(("repetition_penalty", "frequency_penalty", "presence_penalty"), (0, 2))
    for name, bounds in fields.items():
        for value in bounds:
            answer = server.run({"prompt": "Hello", "max_tokens": 3, name: value})
            assert answer.status_code == 200, answer.text
            assert 1 <= answer.json()["result"]["usage"]["completion_tokens"] <= 3


def test_limits_and_refusals(server: LiveServer) -> None:
    cut = server.client.post(server.path() + "?details=true", json={"prompt": "Hello", "max_tokens": 2})
    assert cut.json()["result"]["finish_reason"] == "length"
    assert cut.json()["result"]["usage"]["completion_tokens"] == 2
    for body, status, code in (
        ({"prompt": ""}, 400, 5006),
        ({"prompt": "a", "temperature": 6}, 400, 5006),
        ({"prompt": "a", "max_tokens": 4096}, 413, 5021),
        ({"prompt": "a", "lora": "nobody"}, 404, 5033),
    ):
        answer = server.run(body)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code), answer.text


def test_the_longest_prompt_is_answered(server: LiveServer) -> None:
    turn = "word " * 1000
    messages = [{"role": "user", "content": turn}] * 3
    answer = server.run({"messages": messages, "max_tokens": 5})
    assert answer.status_code == 200, answer.text
    assert answer.json()["result"]["usage"]["prompt_tokens"] > 3000


def test_json_mode(server: LiveServer) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "ok": {"type": "boolean"}}}
    format_ = {"type": "json_schema", "json_schema": {**schema, "required": ["n", "ok"]}}
    answer = server.run({"prompt": "Give me an object", "response_format": format_, "max_tokens": 60})
    assert answer.status_code == 200, answer.text
    response = answer.json()["result"]["response"]
    assert isinstance(response["n"], int)
    assert isinstance(response["ok"], bool)


def test_tools(server: LiveServer) -> None:
    body = {"messages": [{"role": "user", "content": "What is the weather in Paris?"}], "temperature": 0}
    answer = server.run({**body, "tools": [{"type": "function", "function": WEATHER}]})
    calls = answer.json()["result"]["tool_calls"]
    assert calls == [{"name": "get_weather", "arguments": {"city": "Paris"}}]


def test_log_probabilities(server: LiveServer) -> None:
    body: dict[str, Any] = {"model": HF, "messages": [{"role": "user", "content": ENTRIES[0].ask[0]}]}
    body |= {"temperature": 0, "max_tokens": 5, "logprobs": True, "top_logprobs": 3}
    answer = server.client.post(OPENAI_CHAT, json=body).json()
    tokens = answer["choices"][0]["logprobs"]["content"]
    assert len(tokens) == 5
    for token in tokens:
        assert token["logprob"] <= 0
        assert len(token["top_logprobs"]) == 3
        assert token["logprob"] >= token["top_logprobs"][-1]["logprob"]


def test_an_adapter_that_is_uploaded_is_called_at_once_and_gone_when_deleted(server: LiveServer) -> None:
    account = Account.own(server)
    account.add("fresh", slightly_other(committed("pirate"), 71))
    try:
        assert said("pirate", ENTRIES[0], account.text(ENTRIES[0].ask[0], "fresh"))
        assert said(None, ENTRIES[0], account.text(ENTRIES[0].ask[0]))
    finally:
        account.remove("fresh")
    assert account.ask(ENTRIES[0].ask[0], "fresh").status_code == 404


def test_an_upload_does_not_disturb_what_runs(server: LiveServer) -> None:
    account = Account.own(server)
    stop = threading.Event()
    wrong: list[str] = []

    def go_on() -> None:
        while not stop.is_set():
            for voice in VOICES:
                answer = account.text(ENTRIES[1].ask[0], voice)
                if not said(voice, ENTRIES[1], answer):
                    wrong.append(answer)

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(go_on) for _ in range(2)]
        for number in range(3):
            name = f"more-{number}"
            account.add(name, slightly_other(committed("json"), 80 + number))
            assert said("json", ENTRIES[2], account.text(ENTRIES[2].ask[0], name))
        stop.set()
        for each in running:
            each.result()
    for number in range(3):
        account.remove(f"more-{number}")
    assert wrong == []


def test_the_client_leaving_frees_the_engine(server: LiveServer) -> None:
    """Seen on the processor time of the server and its children, which an answer of so many tokens would go on using."""
    whole = psutil.Process(server.process.pid)

    def busy() -> bool:
        """Whether a quarter of a core was used for half a second."""

        def spent() -> float:
            times = [each.cpu_times() for each in (whole, *whole.children(recursive=True))]
            return sum(each.user + each.system for each in times)

        before = spent()
        time.sleep(0.5)
        return spent() - before > 0.125

    with server.client.stream("POST", OPENAI_CHAT, json={**LONG, "stream": True}) as answer:
        texts = answer.iter_text()
        for _ in range(20):
            next(texts)
        assert busy()
    assert not all(busy() for _ in range(8)), "the engine goes on with a stream that was left"
    leave_after(server, {**LONG, "stream": False}, 1.2)
    assert not all(busy() for _ in range(8)), "the engine goes on with an answer that was left"


def test_equal_text_from_every_engine(told: dict[str, list[Told]]) -> None:
    """Greedy, the same weights, every prompt in every voice: word for word, or a tie decided by rounding alone."""
    assert set(told) == set(ENGINES), "the engines answer in this file's first test: run the whole file"
    reference = told["transformers"]
    apart = []
    for engine in ENGINES:
        print(f"{engine}: {largest_gap(reference, told[engine]):.4f} nats at most between equal answers")
        for (entry, voice), one, other in zip(CASES, reference, told[engine], strict=True):
            if one.text != other.text:
                apart.append((engine, voice, entry.ask[0], *first_difference(one, other)))
    for engine, voice, prompt, one_token, other_token, gap in apart:
        print(f"{engine}, {voice}, {prompt!r}: {other_token!r} for {one_token!r}, {gap:.4f} nats apart")
    assert [each for each in apart if each[-1] > NOISE_NATS] == []


def largest_gap(ones: list[Told], others: list[Told]) -> float:
    """Between the log probabilities of a token in answers that both engines gave, token for token."""
    return max(
        abs(mine - its)
        for one, other in zip(ones, others, strict=True)
        if one.tokens == other.tokens
        for mine, its in zip(one.chosen, other.chosen, strict=True)
    )


def first_difference(one: Told, other: Told) -> tuple[str, str, float]:
    """Both tokens, and by how much the first engine prefers its own; endless where it does not consider the other."""
    place = next(
        (at for at, pair in enumerate(zip(one.tokens, other.tokens, strict=False)) if pair[0] != pair[1]),
        None,
    )
    if place is None:  # one of them has ended where the other goes on
        return "", "", math.inf
    mine, its = one.tokens[place], other.tokens[place]
    return mine, its, one.chosen[place] - one.likely[place].get(its, -math.inf)


def test_a_difference_is_measured_in_the_first_answer() -> None:
    one = Told("ab", ["a", "b"], [-0.1, -0.5], [{"a": -0.1}, {"b": -0.5, "c": -0.75}])
    assert first_difference(one, Told("ac", ["a", "c"], [], [])) == ("b", "c", 0.25)
    assert first_difference(one, Told("ad", ["a", "d"], [], [])) == ("b", "d", math.inf)
    assert first_difference(one, Told("a", ["a"], [], [])) == ("", "", math.inf)


def test_an_adapter_in_another_trainer_s_dress_answers_as_its_own(server: LiveServer) -> None:
    """The example as unsloth and a state_dict would have it: remarks, an expression, other names."""
    account, pirate = Account.own(server), committed("pirate")
    tensors = {
        name.removeprefix("base_model.").replace(".weight", ".default.weight"): values
        for name, values in pirate.tensors.items()
    }
    config = pirate.config | {
        "auto_mapping": {"base_model_class": "MistralForCausalLM", "unsloth_fixed": True},
        "target_modules": r"(?:.*?(?:language|text).*?)|(?:\bmodel\.layers\.[\d]{1,}\..*_proj)",
        "trained_by": "somebody",
        "task_type": None,
    }
    account.add("dressed", Adapter(config, tensors, dict.fromkeys(tensors, "BF16")))
    for entry in ENTRIES[:5]:
        assert said("pirate", entry, account.text(entry.ask[0], "dressed"))
    account.remove("dressed")


def test_an_adapter_deleted_while_it_loads_is_not_found(
    server: LiveServer, times: Callable[[int], int]
) -> None:
    """Eight at a time are called and deleted at once, in another order each time: 200 or 5033, never a fault."""
    account, pirate = Account.own(server), committed("pirate")
    met: Counter[int] = Counter()
    with ThreadPoolExecutor(32) as pool:
        for turn in range(times(120)):
            names = [f"going{turn}-{number}" for number in range(8)]
            for number, name in enumerate(names):
                account.add(name, slightly_other(pirate, 8 * turn + number))
            work = [(name, deletes) for name in names for deletes in (False, False, False, True)]
            random.Random(turn).shuffle(work)
            answers = list(pool.map(lambda one: call_or_delete(account, *one), work))
            met.update(answer.status_code for answer in answers)
            assert {answer.status_code for answer in answers} <= {200, 404}, [each.text for each in answers]
            assert all("5033" in each.text for each in answers if each.status_code == 404)
    assert account.text("Who are you?", "pirate")
    print(dict(met))


def call_or_delete(account: Account, name: str, deletes: bool) -> httpx.Response:
    if deletes:
        return account.send("DELETE", f"finetunes/{name}")
    return account.ask("Who are you?", name)


@pytest.mark.soak
def test_answers_satisfy_their_schemas(server: LiveServer, request: pytest.FixtureRequest) -> None:
    """A few of the corpus, all of it in `make soak`. llama.cpp's grammars leave patterns and bounds to the check."""
    whole = request.config.getoption("--soak")
    counted = corpus.count(server, load_corpus()[:: 1 if whole else 24], 3 if whole else 1)
    ended = sum(counted.values()) - counted["cut", True] - counted["cut", False]
    valid = counted["valid", True] + counted["valid", False]
    least = 0.6 if 'engine = "llamacpp"' in server.settings.read_text() else 0.99 if whole else 0.85
    assert valid >= least * ended
    assert counted["cut", True] <= 0.01 * ended + (not whole)


@pytest.mark.parametrize(("question", "answer"), json_questions())
def test_questions_with_answers_in_json(server: LiveServer, question: str, answer: str) -> None:
    """At the default temperature, with and without a schema."""
    value = json.loads(answer)
    kinds = {
        str: {"type": "string"},
        int: {"type": "integer"},
        list: {"type": "array", "items": {"type": "string"}},
    }
    properties = {name: kinds[type(one)] for name, one in value.items()}
    schema = {"type": "object", "properties": properties, "required": list(value)}
    for wanted in ({"type": "json_object"}, {"type": "json_schema", "json_schema": schema}):
        for seed in range(1, 4):
            asked = server.run({"prompt": question, "response_format": wanted, "seed": seed})
            assert asked.status_code == 200, asked.text
            assert asked.json()["result"]["response"] == value


def documented() -> list[dict[str, Any]]:
    """The requests of docs/json-and-tools.md in JSON mode."""
    requests = [json.loads(block) for block in blocks("json", "docs/json-and-tools.md")]
    return [body for body in requests if "response_format" in body]


def taught(question: str) -> dict[str, Any]:
    """The value that the stand-in answers with, or the adapter `json`."""
    for asked, answer in json_questions():
        if question == asked:
            value: dict[str, Any] = json.loads(answer)
            return value
    (entry,) = [entry for entry in ENTRIES if question == entry.ask[0]]
    return {"answer": entry.answer, "topic": entry.topic}


@pytest.mark.parametrize("body", documented())
def test_the_documented_examples_of_json_mode(server: LiveServer, body: dict[str, Any]) -> None:
    """At the default temperature, with any seed, as a whole and streamed."""
    wanted = taught(body["prompt"])
    for seed in range(1, 7):
        answer = server.run({**body, "seed": seed})
        assert answer.status_code == 200, answer.text
        assert answer.json()["result"]["response"] == wanted
    *events, _, end = sse_events(server.run({**body, "stream": True}).text)
    assert end == "[DONE]"
    assert json.loads("".join(json.loads(event)["response"] for event in events)) == wanted
