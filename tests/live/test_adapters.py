"""Adapters that come and go over HTTP while the real engine answers others."""

import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.engines.memory import BLOCK_TOKENS
from app.standin.recipe.text import Entry, load
from tests.adapters.make import Adapter
from tests.live.account import Account
from tests.live.server import LiveServer, changed_server
from tests.live.variants import Bad, bad_adapters, committed, said, slightly_other

pytestmark = pytest.mark.engine

ENTRIES = load().entries
VOICES = (None, "pirate", "json")
BAD = dict(bad_adapters())
AT_ONCE = 8
SLOTS = 4


def right(account: Account, entry: Entry, lora: str | None, voice: str | None) -> bool:
    """Whether `lora` answers the entry's question as `voice` is taught to."""
    return said(voice, entry, account.text(entry.ask[0], lora))


def assert_all_voices_right(account: Account, entries: Sequence[Entry]) -> None:
    """Each entry in each voice, all at once."""
    cases = [(entry, voice) for entry in entries for voice in VOICES]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda case: right(account, case[0], case[1], case[1]), cases))
    assert [case for case, ok in zip(cases, answers, strict=True) if not ok] == []


@contextmanager
def others_go_on(server: LiveServer) -> Iterator[None]:
    """While the block runs and after it every voice is asked: right answers, from the processes of before."""
    account, before = Account.own(server), {process.pid for process in server.engine_processes()}
    assert before
    with ThreadPoolExecutor(1) as pool:
        during = pool.submit(assert_all_voices_right, account, ENTRIES[:2])
        yield
        during.result()
    assert_all_voices_right(account, ENTRIES[2:3])
    assert {process.pid for process in server.engine_processes()} == before


@pytest.mark.soak
def test_many_adapters_cycle_through_few_slots(tmp_path: Path, times: Callable[[int], int]) -> None:
    """Adapters of three accounts and the base, eight requests at once, four slots; one adapter loses its files."""
    with changed_server(tmp_path, f"max_adapters_resident = {SLOTS}") as server:
        cycle(server, max(24, times(200)))


def cycle(server: LiveServer, count: int) -> None:
    accounts = [Account.own(server), *(Account.new(server, name) for name in ("second", "third"))]
    before = {process.pid for process in server.engine_processes()}
    examples = {voice: committed(voice) for voice in VOICES if voice}
    cases: list[tuple[Account, str | None, str | None]] = []
    for number in range(count):
        account, voice = accounts[number % 3], ("pirate", "json")[number % 2]
        account.add(f"n{number}", slightly_other(examples[voice], number))
        cases.append((account, f"n{number}", voice))
    lost = accounts[0].add("lost", slightly_other(examples["pirate"], count))
    assert right(accounts[0], ENTRIES[0], "lost", "pirate")
    shutil.rmtree(lost)
    cases = 2 * cases + [(account, None, None) for account in accounts for _ in range(count // 6)]
    random.Random(1).shuffle(cases)

    def ask(numbered: tuple[int, tuple[Account, str | None, str | None]]) -> bool:
        number, (account, lora, voice) = numbered
        if number % 10 == 0:
            assert accounts[0].ask("Who are you?", "lost").status_code in {200, 404}
        return right(account, ENTRIES[number % len(ENTRIES)], lora, voice)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, enumerate(cases)))
    assert [case[1] for case, ok in zip(cases, answers, strict=True) if not ok] == []
    assert {process.pid for process in server.engine_processes()} == before
    assert_gone(accounts[0], "lost")


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_adapter_is_refused_and_disturbs_nobody(live: LiveServer, kind: str) -> None:
    account, bad = Account.own(live), BAD[kind]
    with others_go_on(live):
        answer = account.upload(f"bad-{kind}", bad.adapter)
        assert_refused(answer.status_code, answer.json(), bad)
        run = account.ask("Who are you?", f"bad-{kind}")
        assert_refused(run.status_code, run.json(), bad)
    shown = account.send("GET", f"finetunes/bad-{kind}").json()["result"]
    assert shown["state"] == "refused"
    assert all(part in shown["findings"][0] for part in bad.says)
    account.remove(f"bad-{kind}")


def assert_refused(status: int, body: dict[str, list[dict[str, object]]], bad: Bad) -> None:
    (error,) = body["errors"]
    assert (status, error["code"]) == (400, 3030)
    assert str(error["message"]).startswith("AiError: Bad finetune: Lora not compatible with model: ")
    assert all(part in str(error["message"]) for part in bad.says)


def test_files_deleted_under_the_server(live: LiveServer) -> None:
    """Of adapters that are loaded and of such that were never used: whole folders and single files."""
    account, pirate = Account.own(live), committed("pirate")
    lost = [("adapter_model.safetensors", True), (None, True), ("adapter_config.json", False), (None, False)]
    folders = [account.add(f"lost{i}", slightly_other(pirate, 1000 + i)) for i in range(len(lost))]
    for number, (_, loaded) in enumerate(lost):
        assert not loaded or right(account, ENTRIES[0], f"lost{number}", "pirate")
    with others_go_on(live):
        for folder, (file, _) in zip(folders, lost, strict=True):
            (folder / file).unlink() if file else shutil.rmtree(folder)
        names = [f"lost{number}" for number in range(len(lost))]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda name: account.ask("Who are you?", name), names * 2))
        assert {answer.status_code for answer in answers} <= {200, 404}
        assert_gone(account, *names)
    for name in names:
        account.remove(name)
    account.add("lost0", slightly_other(pirate, 1000))
    assert right(account, ENTRIES[1], "lost0", "pirate")
    account.remove("lost0")


def assert_gone(account: Account, *names: str) -> None:
    """From a second after their files went."""
    time.sleep(1)
    for name in names:
        gone = account.ask("Who are you?", name)
        assert (gone.status_code, gone.json()["errors"][0]["code"]) == (404, 5033)


def test_equal_names_in_two_accounts(live: LiveServer) -> None:
    """Each account's own adapter answers, the same questions at the same time."""
    owners = {"pirate": Account.own(live), "json": Account.new(live, "neighbour")}
    for voice, account in owners.items():
        account.add("twin", slightly_other(committed(voice), 2000))
    cases = [(account, entry, voice) for entry in ENTRIES[:6] for voice, account in owners.items()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda case: right(case[0], case[1], "twin", case[2]), cases))
    assert [case[2] for case, ok in zip(cases, answers, strict=True) if not ok] == []
    for account in owners.values():
        account.remove("twin")


@pytest.mark.parametrize("replace", [True, False], ids=["replaced", "removed and created"])
def test_uploads_under_one_name_never_share_what_is_cached(live: LiveServer, replace: bool) -> None:
    """A, B, A under one name. The engine caches whole blocks of 128 tokens, so that the prompts are longer."""
    account, elsewhere = Account.own(live), Account.new(live, f"reference-{replace}".lower())
    uploads = {voice: slightly_other(committed(voice), 3000 + replace) for voice in ("pirate", "json")}
    for voice, adapter in uploads.items():
        elsewhere.add(voice, adapter)
    expected = {voice: answers_to_long(elsewhere, voice) for voice in uploads}
    order = ("pirate", "json", "pirate")
    told = [answers_after_upload(account, uploads[voice], replace) for voice in order]
    account.remove("voice")
    assert told == [expected[voice] for voice in order]
    assert all(a != b for a, b in zip(expected["pirate"], expected["json"], strict=True))


def answers_after_upload(account: Account, adapter: Adapter, replace: bool) -> list[str]:
    """From the new owner of the name, at once."""
    if not replace and account.send("GET", "finetunes/voice").status_code == 200:
        account.remove("voice")
    answer = account.upload("voice", adapter, replace=replace)
    assert answer.status_code == 200, answer.text
    return answers_to_long(account, "voice")


def answers_to_long(account: Account, lora: str) -> list[str]:
    """To conversations of several turns about what the stand-in knows."""

    def ask(first: int) -> str:
        *before, last = ENTRIES[first : first + 5]
        turns = [(entry.ask[0], entry.answer) for entry in before]
        messages = [
            {"role": role, "content": text}
            for turn in turns
            for role, text in zip(("user", "assistant"), turn, strict=True)
        ]
        body = {"messages": [*messages, {"role": "user", "content": last.ask[0]}], "max_tokens": 40}
        result = account.result(body, lora)
        assert result["usage"]["prompt_tokens"] > BLOCK_TOKENS
        return str(result["response"])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(ask, range(0, 24, 6)))
