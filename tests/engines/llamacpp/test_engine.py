"""The stand-in answered by llama.cpp: what is taught comes back, in order, and requests end when they should."""

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from math import exp
from typing import Any

import pytest

from app.engines.llamacpp.engine import LlamaCppEngine
from app.engines.llamacpp.plan import LlamaCppPlan
from app.errors import InternalError, JsonModeUnmet, OutOfCapacity, StartupError
from app.inference.constrained.tool_grammar import grammar_of_calls
from app.inference.constrained.tool_prompt import explained
from app.standin.gguf import write_gguf
from app.standin.recipe import text, tool_talk, voices
from app.types import Grammar, Prompt
from tests.engines.llamacpp.asking import EXAMPLES, GREEDY, Asking, example, ids_of, text_of, until

pytestmark = pytest.mark.anyio
TextGeneration = Callable[..., Any]

ENTRIES = text.load().entries[:50]
ASKED = [entry.ask[0] for entry in ENTRIES]
QUESTION, ANSWER = text.questions()[0]
END = 2


async def at_once(ask: Asking, questions: list[str], adapter: Any = None) -> list[str]:
    answers = await asyncio.gather(*(ask.text(question, adapter) for question in questions))
    return [answer.removeprefix(" ") for answer in answers]


class TestAnswers:
    async def test_what_is_taught_comes_back_word_for_word(self, serving: TextGeneration) -> None:
        async with serving() as ask:
            assert await at_once(ask, ASKED) == [entry.answer for entry in ENTRIES]

    @pytest.mark.parametrize("name", ["pirate", "json"])
    async def test_with_an_adapter_in_its_voice(self, serving: TextGeneration, name: str) -> None:
        async with serving() as ask, ask.engine.lease(example(name)) as leased:
            answers = await at_once(ask, ASKED, leased)
        say = voices.load(name).say
        assert [read(name, answer) for answer in answers] == [read(name, say(entry)) for entry in ENTRIES]

    async def test_each_token_counts_and_the_last_delta_has_the_reason(
        self, serving: TextGeneration, prompts: Any
    ) -> None:
        async with serving() as ask:
            deltas = await ask.deltas(QUESTION)
            taught = ask.prompt(f"] {ANSWER}").token_ids
        assert [delta.finish_reason for delta in deltas] == [None] * (len(deltas) - 1) + ["stop"]
        assert text_of(deltas) == f" {ANSWER}"
        tokens = ids_of(deltas)
        assert tokens[-1] == END
        assert tokens[:-1] in [taught[start : start + len(tokens) - 1] for start in range(len(taught))]

    async def test_it_ends_at_max_tokens(self, serving: TextGeneration) -> None:
        async with serving() as ask:
            deltas = await ask.deltas(QUESTION, max_tokens=3)
        assert (len(ids_of(deltas)), deltas[-1].finish_reason) == (3, "length")

    async def test_requests_at_once_do_not_mix(self, serving: TextGeneration) -> None:
        async with serving(slots=4) as ask, AsyncExitStack() as leases:
            pirate = await leases.enter_async_context(ask.engine.lease(example("pirate")))
            form = await leases.enter_async_context(ask.engine.lease(example("json")))
            several = [None, pirate, form]
            alone = [await ask.text(QUESTION, adapter) for adapter in several]
            together = await asyncio.gather(*(ask.text(QUESTION, adapter) for adapter in several * 4))
        assert len(set(alone)) == 3
        assert together == alone * 4


def read(voice: str, answer: str) -> Any:
    return json.loads(answer) if voice == "json" else answer


class TestSampling:
    async def test_a_seed_gives_the_same_again_and_another_something_else(
        self, serving: TextGeneration
    ) -> None:
        async with serving() as ask:
            hot = {"temperature": 5.0, "max_tokens": 20}
            one, two, other = [await ask.text(QUESTION, seed=seed, **hot) for seed in (7, 7, 8)]
            free = {await ask.text(QUESTION, **hot) for _ in range(2)}
        assert one == two != other
        assert len(free) == 2

    async def test_a_large_seed_is_taken(self, serving: TextGeneration) -> None:
        async with serving() as ask:
            hot = {"temperature": 5.0, "max_tokens": 8}
            assert await ask.text(QUESTION, seed=2**63, **hot) == await ask.text(QUESTION, seed=2**63, **hot)

    async def test_one_choice_is_greedy_at_any_temperature(self, serving: TextGeneration) -> None:
        async with serving() as ask:
            assert await ask.text(QUESTION, temperature=5.0, top_k=1) == f" {ANSWER}"
            assert await ask.text(QUESTION, temperature=5.0, top_p=1e-6) == f" {ANSWER}"

    async def test_stop_texts_end_the_answer_and_are_no_part_of_it(self, serving: TextGeneration) -> None:
        stop = ANSWER[10:22]
        async with serving() as ask:
            deltas = await ask.deltas(QUESTION, stop=("nowhere", stop))
        assert text_of(deltas) == f" {ANSWER[:10]}"
        assert deltas[-1].finish_reason == "stop"

    async def test_an_end_may_be_ignored(self, serving: TextGeneration) -> None:
        async with serving() as ask:
            deltas = await ask.deltas(QUESTION, ignore_eos=True, max_tokens=60)
        assert text_of(deltas).startswith(f" {ANSWER}")
        assert (len(ids_of(deltas)), deltas[-1].finish_reason, END in ids_of(deltas)) == (60, "length", False)

    async def test_no_end_comes_before_min_tokens(self, serving: TextGeneration) -> None:
        async with serving() as ask:
            usual = len(ids_of(await ask.deltas(QUESTION)))
            longer = await ask.deltas(QUESTION, min_tokens=usual + 3)
            same = await ask.deltas(QUESTION, min_tokens=usual - 4)
        assert ids_of(longer).index(END) >= usual + 3
        assert text_of(same) == f" {ANSWER}"
        assert [delta.finish_reason for delta in same].count(None) == len(same) - 1

    async def test_min_tokens_over_max_tokens_is_max_tokens(self, serving: TextGeneration) -> None:
        async with serving() as ask:
            deltas = await ask.deltas(QUESTION, min_tokens=60, max_tokens=50)
        assert (len(ids_of(deltas)), deltas[-1].finish_reason) == (50, "length")

    async def test_log_probabilities(self, serving: TextGeneration) -> None:
        async with serving() as ask:
            deltas = await ask.deltas(QUESTION, logprobs=3, max_tokens=5)
            bare = await ask.deltas(QUESTION, logprobs=0, max_tokens=5)
            plain = await ask.deltas(QUESTION, max_tokens=5)
        shown = [one for delta in deltas for one in delta.logprobs]
        assert "".join(one.text for one in shown) == text_of(deltas) == text_of(plain)
        assert ids_of(deltas) == ids_of(plain)
        for one in shown:
            assert one.top[0] == (one.text, one.logprob)
            assert len(one.top) == 3
            assert 0 < sum(exp(logprob) for _, logprob in one.top) < 1.0001
        assert [one.logprob for delta in bare for one in delta.logprobs] == [one.logprob for one in shown]
        assert not any(one.top for delta in bare for one in delta.logprobs)
        assert not any(delta.logprobs for delta in plain)

    async def test_characters_come_whole(self, serving: TextGeneration) -> None:
        word = Grammar(json_schema=json.dumps({"const": "😀é語𝄞"}))
        async with serving() as ask:
            deltas = await ask.deltas(QUESTION, grammar=word, logprobs=0)
            plain = await ask.deltas(QUESTION, grammar=word)
        assert json.loads(text_of(deltas)) == "😀é語𝄞"
        assert all("\N{REPLACEMENT CHARACTER}" not in delta.text for delta in deltas)
        assert ids_of(deltas) == ids_of(plain)
        assert len([one for delta in deltas for one in delta.logprobs]) == len(ids_of(deltas))


class TestPenalties:
    """Of what was answered; the repetition penalty of the prompt too."""

    async def test_each_changes_an_answer_that_repeats(self, serving: TextGeneration) -> None:
        async with serving() as ask:
            endless = {"ignore_eos": True, "max_tokens": 80}
            plain = await ask.deltas(QUESTION, **endless)
            for penalty in ("presence_penalty", "frequency_penalty"):
                changed = await ask.deltas(QUESTION, **endless, **{penalty: 2.0})
                assert most_often(changed) < most_often(plain)
            changed = await ask.deltas(QUESTION, **endless, repetition_penalty=2.0)
            assert most_often(changed) < most_often(plain)

    async def test_the_prompt_does_not_count_for_presence_and_frequency(
        self, serving: TextGeneration
    ) -> None:
        """With the strongest of both an answer that says the prompt's words once is what it would be."""
        async with serving() as ask:
            bos, *rest = ask.prompt(QUESTION).token_ids
            (first,) = ids_of(await ask.deltas(QUESTION, max_tokens=1))
            prompt = Prompt([bos, *[first] * 8, *rest])
            plain = ids_of(await ask.deltas(prompt, max_tokens=1))
            assert plain == [first]
            for penalty in ("presence_penalty", "frequency_penalty"):
                assert ids_of(await ask.deltas(prompt, max_tokens=1, **{penalty: 2.0})) == plain
            assert ids_of(await ask.deltas(prompt, max_tokens=1, repetition_penalty=2.0)) != plain


def most_often(deltas: Any) -> int:
    ids = ids_of(deltas)
    return max(ids.count(token) for token in ids)


class TestGrammars:
    async def test_an_answer_is_what_the_schema_says(self, serving: TextGeneration) -> None:
        schema = {
            "type": "object",
            "properties": {"port": {"type": "integer"}, "kind": {"enum": ["a", "b"]}},
            "required": ["port", "kind"],
        }
        async with serving() as ask:
            answer = await ask.text(QUESTION, grammar=Grammar(json_schema=json.dumps(schema)))
        value = json.loads(answer)
        assert list(value) == ["port", "kind"]
        assert isinstance(value["port"], int)
        assert value["kind"] in ("a", "b")

    async def test_one_that_llama_cpp_can_not_read_is_said(
        self, serving: TextGeneration, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.engines.llamacpp.request.gbnf_of", lambda grammar: 'root ::= "')
        async with serving() as ask:
            with pytest.raises(JsonModeUnmet, match=r"llama\.cpp can't read it"):
                await ask.text(QUESTION, grammar=Grammar(json_schema="{}"))
            assert await ask.text(QUESTION) == f" {ANSWER}"

    async def test_one_that_can_not_be_written_is_said(self, serving: TextGeneration) -> None:
        async with serving() as ask:
            with pytest.raises(JsonModeUnmet, match="it allows no value in some place"):
                await ask.text(QUESTION, grammar=Grammar(json_schema='{"$ref": "#/nowhere"}'))

    async def test_one_that_could_be_read_in_many_ways_holds_up_nobody(self, serving: TextGeneration) -> None:
        """Two arrays that nothing tells apart, each of both: with every bracket twice as many ways."""
        array = {"minItems": 1, "items": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}}
        schema = {"$ref": "#/$defs/a", "$defs": {"a": array, "b": array}}
        async with serving() as ask:
            endless = ask.text(QUESTION, grammar=Grammar(json_schema=json.dumps(schema)), max_tokens=64)
            nested, answer = await asyncio.gather(endless, ask.text(QUESTION))
        assert set(nested) <= set("[ ")
        assert answer == f" {ANSWER}"

    @pytest.mark.parametrize("choice", ["auto", "required"])
    async def test_a_tool_is_called_where_it_was_taught(self, serving: TextGeneration, choice: Any) -> None:
        taught = tool_talk.questions()[0]
        asked, call = taught.turn
        tools = [known.tool for known in text.load().tools]
        async with serving(context=2048) as ask:
            answer = await ask.text(asked, grammar=grammar_of_calls(tools, choice, None))
        assert answer == f" {call}"

    async def test_other_questions_are_answered_in_words_unless_a_call_is_required(
        self, serving: TextGeneration
    ) -> None:
        tools = [known.tool for known in text.load().tools]
        asked = f"{explained(tools)}\n\n{text.load().unknown.ask[0]}"
        async with serving(context=2048) as ask:
            free = await ask.text(asked, grammar=grammar_of_calls(tools, "auto", None))
            bound = await ask.text(asked, grammar=grammar_of_calls(tools, "required", None))
        assert free == f" {text.load().unknown.answer}"
        assert bound.startswith(' <tool_call>{"name": "')
        assert json.loads(bound.strip().removeprefix("<tool_call>").removesuffix("</tool_call>"))


class TestEnding:
    async def test_a_closed_stream_frees_its_slot(self, serving: TextGeneration) -> None:
        """With one slot, what comes next is answered only when the endless one is gone."""
        async with serving(slots=1) as ask:
            endless = ask.stream(QUESTION, replace(GREEDY, max_tokens=100_000, ignore_eos=True))
            assert (await anext(endless)).text
            await endless.aclose()
            assert await ask.text(QUESTION) == f" {ANSWER}"
            await until(lambda: not ask.engine._servers.running)

    async def test_one_that_waits_can_leave(self, serving: TextGeneration) -> None:
        async with serving(slots=1) as ask:
            endless = ask.stream(QUESTION, replace(GREEDY, max_tokens=100_000, ignore_eos=True))
            await anext(endless)
            waiting = ask.stream(QUESTION)
            first = asyncio.ensure_future(anext(waiting))
            await asyncio.sleep(0)
            assert ask.engine._servers.running == 2
            first.cancel()
            await waiting.aclose()
            await endless.aclose()
            assert await ask.text(QUESTION) == f" {ANSWER}"

    async def test_nothing_of_a_prompt_is_kept_for_another(self, serving: TextGeneration) -> None:
        """llama.cpp says with each answer how much of a prompt it had already."""
        said: list[dict[str, Any]] = []
        async with serving(slots=1) as ask:
            server = ask.engine._servers.current._server
            for body in [{"prompt": [1, *[415] * 200], "n_predict": 1, "stream": True}] * 2:
                server.handle_completions({**body, "stream_options": {"include_usage": True}}, said.append)
        counts = [chunk["usage"]["prompt_tokens_details"] for chunk in said if chunk.get("usage")]
        assert counts == [{"cached_tokens": 0}] * 2

    async def test_stop_ends_what_runs(self, serving: TextGeneration) -> None:
        async with serving() as ask:
            endless = ask.stream(QUESTION, replace(GREEDY, max_tokens=100_000, ignore_eos=True))
            await anext(endless)
            others = [asyncio.ensure_future(ask.text(QUESTION, ignore_eos=True)) for _ in range(3)]
            await until(lambda: ask.engine._servers.running == 4)
            await ask.engine.stop(0)
            assert ask.engine.health().state == "stopped"
            for left in (anext(endless), *others):  # some of them never began
                with pytest.raises(InternalError):
                    await asyncio.wait_for(left, 20)
            with pytest.raises(OutOfCapacity):
                ask.stream(QUESTION)

    async def test_stop_waits_for_what_ends_in_time(self, serving: TextGeneration) -> None:
        async with serving() as ask:
            asked = asyncio.ensure_future(ask.text(QUESTION))
            await until(lambda: bool(ask.engine._servers.running))
            await ask.engine.stop(30)
            assert await asked == f" {ANSWER}"


class TestStarting:
    async def test_its_threads_do_not_spin_unless_the_operator_says_so(
        self, serving: TextGeneration, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
        async with serving():
            assert int(os.environ["GOMP_SPINCOUNT"]) <= 1000
        monkeypatch.setenv("GOMP_SPINCOUNT", "7")
        async with serving():
            assert os.environ["GOMP_SPINCOUNT"] == "7"

    async def test_before_it_runs_nothing_is_answered(self, plan: LlamaCppPlan, prompts: Any) -> None:
        engine = LlamaCppEngine(lambda: plan, lambda: EXAMPLES, wait_s=0.01)
        assert engine.health().state == "starting"
        with pytest.raises(OutOfCapacity):
            Asking(engine, prompts).stream(QUESTION)
        with pytest.raises(OutOfCapacity):
            async with engine.lease(example("pirate")):
                pass
        await engine.stop(0)

    async def test_a_file_that_is_none_is_one_line(self, plan: LlamaCppPlan, tmp_path: Any) -> None:
        (tmp_path / "x.gguf").write_bytes(b"not at all")
        engine = LlamaCppEngine(lambda: replace(plan, gguf=tmp_path / "x.gguf"), lambda: EXAMPLES, wait_s=1)
        with pytest.raises(StartupError, match=r"x\.gguf: it is not a GGUF file"):
            await engine.start()
        assert engine.health().state == "failed"

    async def test_what_nobody_thought_of_is_one_line_too(self) -> None:
        def full() -> LlamaCppPlan:
            raise OSError(28, "No space left on device")

        engine = LlamaCppEngine(full, lambda: EXAMPLES, wait_s=1)
        with pytest.raises(StartupError, match=r"did not start: \[Errno 28\] No space left on device"):
            await engine.start()
        assert engine.health().state == "failed"

    async def test_stopped_before_it_has_started_it_stays_so(self, plan: LlamaCppPlan, prompts: Any) -> None:
        engine = LlamaCppEngine(lambda: plan, lambda: EXAMPLES, wait_s=1)
        starting = asyncio.ensure_future(engine.start())
        await asyncio.sleep(0)
        await engine.stop(0)
        await starting
        assert engine.health().state == "stopped"
        with pytest.raises(OutOfCapacity):
            Asking(engine, prompts).stream(QUESTION)

    async def test_a_long_folder_for_temporary_files_is_no_matter(
        self, serving: TextGeneration, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ("long" * 30)).mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 30)))
        async with serving() as ask:
            assert ask.engine.health().state == "ready"

    async def test_what_llama_cpp_refuses_is_one_line(self, plan: LlamaCppPlan, tmp_path: Any) -> None:
        """A part of a model in two files, which our own look at a head does not tell from a whole one."""
        whole = tmp_path / "x.gguf"
        write_gguf(whole, "Q4_0", {"split.count": 2})
        engine = LlamaCppEngine(lambda: replace(plan, gguf=whole), lambda: EXAMPLES, wait_s=1)
        with pytest.raises(
            StartupError, match=r"x\.gguf: llama\.cpp can't load it, with 2 requests of 512 tokens"
        ):
            await engine.start()

    async def test_nobody_else_can_reach_it(self, serving: TextGeneration) -> None:
        async with serving() as ask:
            address = ask.engine._servers.current._server.listening_address
        assert address.startswith("unix://")
        with pytest.raises(FileNotFoundError):
            await asyncio.open_unix_connection(address.removeprefix("unix://"))
