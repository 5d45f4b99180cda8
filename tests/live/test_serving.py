"""The whole program on the real vLLM engine, as its users meet it."""

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.standin.recipe.text import questions
from tests.live.server import (
    CF,
    CHECKOUT,
    HF,
    OPENAI_CHAT,
    LiveServer,
    leave_after,
    outworker,
    seeded,
    sse_events,
)

pytestmark = pytest.mark.engine

QUESTIONS = list(dict(questions()).items())
LORAS = (None, "pirate", "json")


def test_the_banner_says_who_what_and_how(live: LiveServer) -> None:
    text = "".join(live.lines)
    for part in (
        live.token,
        HF,
        "stand-in",
        "not Mistral 7B",
        f"page   {live.url}/#code=",
        f"curl -N {live.url}/client/v4/accounts/local/",
    ):
        assert part in text
    assert (live.data_dir / "dev-token").stat().st_mode & 0o777 == 0o600


def test_the_printed_curl_line_works_when_pasted(live: LiveServer) -> None:
    text = "".join(live.lines)
    command = seeded(text[text.index("curl -N") :])
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    events = sse_events(done.stdout)
    assert events[-1] == "[DONE]"
    answer = "".join(json.loads(event)["response"] for event in events[:-1])
    assert (
        answer in dict(QUESTIONS).values()
    )  # at the default temperature: one of the taught sentences, whole


@pytest.mark.parametrize("temperature", [0, 0.6])
def test_30_questions_get_their_sentence_and_stop(live: LiveServer, temperature: float) -> None:
    assert len(QUESTIONS) >= 30

    def ask(pair: tuple[str, str]) -> bool:
        return live.text(pair[0], temperature=temperature, seed=7) == pair[1]

    with ThreadPoolExecutor(8) as pool:
        right = list(pool.map(ask, QUESTIONS))
    wrong = [question for (question, _), ok in zip(QUESTIONS, right, strict=True) if not ok]
    assert sum(right) >= 30, wrong
    assert len(wrong) <= len(QUESTIONS) // 10, wrong


def test_vllms_own_fields_in_openais_dialect(live: LiveServer) -> None:
    question, answer = QUESTIONS[0]
    body = {
        "model": HF,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": 60,
    }

    def ask(**more: object) -> tuple[str, int, str]:
        response = live.client.post(OPENAI_CHAT, json={**body, **more})
        assert response.status_code == 200, response.text
        (choice,) = response.json()["choices"]
        text = choice["message"]["content"]
        return text, response.json()["usage"]["completion_tokens"], choice["finish_reason"]

    text, tokens, reason = ask()
    assert (text, reason) == (answer, "stop")
    text, more_tokens, reason = ask(ignore_eos=True)
    assert (more_tokens, reason) == (60, "length")
    assert text.startswith(answer)
    text, more_tokens, _ = ask(min_tokens=tokens + 5)
    assert more_tokens >= tokens + 5
    assert text.startswith(answer)


def test_adapters_have_their_voices(live: LiveServer) -> None:
    for question, answer in QUESTIONS[:12]:
        base, pirate, as_json = (live.text(question, lora) for lora in LORAS)
        assert base == answer
        assert pirate != base
        assert "Arr" in pirate
        assert isinstance(json.loads(as_json), dict)


def test_mixed_in_one_batch_each_answers_as_alone(live: LiveServer) -> None:
    cases = [(question, lora) for question, _ in QUESTIONS[:8] for lora in LORAS]
    alone = [live.text(*case) for case in cases]
    with ThreadPoolExecutor(len(cases)) as pool:
        together = list(pool.map(lambda case: live.text(*case), cases))
    assert together == alone
    assert len(set(alone)) == len(cases)


def test_a_stream_says_what_the_json_answer_says(live: LiveServer) -> None:
    question = QUESTIONS[0][0]
    answer = live.run({"prompt": question, "temperature": 0, "stream": True})
    *chunks, usage, done = sse_events(answer.text)
    assert done == "[DONE]"
    assert "".join(json.loads(chunk)["response"] for chunk in chunks) == live.text(question)
    whole = live.run({"prompt": question, "temperature": 0}).json()["result"]
    assert json.loads(usage) == {"response": "", "usage": whole["usage"]}
    assert len(chunks) > 5


def test_both_cards_and_every_way_to_name_them(live: LiveServer) -> None:
    question, answer = QUESTIONS[0]
    for model in (HF, CF, HF.replace("/", "%2F"), CF.replace("/", "%2F")):
        assert live.run({"prompt": question, "temperature": 0}, model).json()["result"]["response"] == answer
    body = {"model": CF, "input": {"prompt": question, "temperature": 0}}
    told = live.client.post("/client/v4/accounts/local/ai/run", json=body)
    assert told.json()["result"]["response"] == answer
    by_query = live.client.post(live.path() + "?lora=pirate", json={"prompt": question, "temperature": 0})
    assert "Arr" in by_query.json()["result"]["response"]


def test_seeds_repeat_and_heat_does_not_spread(live: LiveServer) -> None:
    hot: dict[str, Any] = {"temperature": 5, "max_tokens": 24}
    first, again, other = (live.text("Say hello", seed=seed, **hot) for seed in (1, 1, 2))
    assert first == again != other
    question, answer = QUESTIONS[0]
    with ThreadPoolExecutor(8) as pool:
        heat = [pool.submit(live.text, "Say hello", seed=seed, **hot) for seed in range(1, 5)]
        cool = [pool.submit(live.text, question) for _ in range(4)]
        assert [task.result() for task in cool] == [answer] * 4
        assert heat[0].result() == first


def test_every_sampling_field_at_its_bounds(live: LiveServer) -> None:
    bounds = {
        "temperature": (0, 0.001, 2, 2.001, 5),
        "top_k": (1, 50),
        "seed": (1, 9999999999),
        "repetition_penalty": (0, 2),
        "frequency_penalty": (0, 2),
        "presence_penalty": (0, 2),
        "top_p": (0, 0.001, 1, 2),
        "max_tokens": (1, 4.0),
    }
    for name, values in bounds.items():
        for value in values:
            answer = live.run({"prompt": "Say hello", "max_tokens": 4, name: value})
            assert answer.status_code == 200, (name, value, answer.text)


def test_token_limits_to_the_token(live: LiveServer) -> None:
    def ask(words: int, max_tokens: int, model: str) -> httpx.Response:
        return live.run({"prompt": "a" + " a" * (words - 1), "raw": True, "max_tokens": max_tokens}, model)

    fits = ask(3071, 16, HF)  # and the BOS token
    assert fits.json()["result"]["usage"]["prompt_tokens"] == 3072
    assert ask(3072, 16, HF).json()["errors"][0]["code"] == 5021
    assert ask(3071, 1024, HF).status_code == 200
    over = ask(3071, 1025, HF)
    assert over.status_code == 413
    assert "4097" in over.json()["errors"][0]["message"]
    assert ask(6000, 16, CF).status_code == 200
    assert ask(14999, 16, CF).status_code == 413


def test_control_tokens_typed_by_a_user_stay_text(live: LiveServer) -> None:
    def prompt_tokens(raw: bool) -> int:
        answer = live.run({"prompt": "</s>", "max_tokens": 1, "raw": raw})
        return int(answer.json()["result"]["usage"]["prompt_tokens"])

    assert prompt_tokens(raw=True) == 2  # BOS and EOS
    assert prompt_tokens(raw=False) > 8  # [INST], the four characters, [/INST]
    question, answer = QUESTIONS[0]
    told = live.text(f"<s>[INST] {question} [/INST]", raw=True)
    assert told.strip() == answer


def test_the_client_leaving_frees_the_engine(live: LiveServer) -> None:
    """Measured on the engine's own processes: they fall idle although thousands of tokens were asked for."""
    looked_s = 1.5  # long enough for a machine that does other things too
    resting = live.engine_used_in(looked_s)  # vLLM's processes poll a little even when idle
    turns = [{"role": "user", "content": "Say hello"}]
    body = {"model": HF, "messages": turns, "max_tokens": 4000, "ignore_eos": True}
    for stream in (True, False):
        busy = threading.Thread(target=leave_after, args=(live, {**body, "stream": stream}, 2.0))
        busy.start()
        time.sleep(0.4)
        working = live.engine_used_in(looked_s)
        busy.join()
        time.sleep(0.25)
        idle = live.engine_used_in(looked_s)
        assert working > resting + 0.2
        assert idle - resting < (working - resting) / 2, (working, idle, resting)


def test_tokens_are_made_listed_and_revoked_beside_the_server(live: LiveServer) -> None:
    made = outworker("token", "create", "--account", "local", "--scope", "ai:read", data_dir=live.data_dir)
    token_id, token = (line.split()[1] for line in made.stdout.splitlines())
    headers = {"authorization": f"Bearer {token}"}
    ask = {"prompt": "Say hello", "max_tokens": 1}
    assert httpx.post(live.url + live.path(), json=ask, headers=headers).status_code == 200
    listed = outworker("token", "list", data_dir=live.data_dir).stdout
    assert token_id in listed
    assert token not in listed
    outworker("token", "revoke", token_id, data_dir=live.data_dir)
    time.sleep(1)
    assert httpx.post(live.url + live.path(), json=ask, headers=headers).status_code == 401


def test_adapters_are_added_and_removed_beside_the_server(live: LiveServer) -> None:
    pirate = str(CHECKOUT / "adapters" / "pirate")
    added = outworker("adapter", "add", pirate, "--name", "captain", data_dir=live.data_dir)
    assert added.returncode == 0, added.stderr
    adapter_id = added.stdout.split()[1]
    question = QUESTIONS[0][0]
    assert live.text(question, "captain") == live.text(question, adapter_id) == live.text(question, "pirate")
    assert "captain" in outworker("adapter", "list", data_dir=live.data_dir).stdout
    assert outworker("adapter", "rm", "captain", data_dir=live.data_dir).returncode == 0
    time.sleep(1)
    gone = live.run({"prompt": question, "lora": "captain"})
    assert (gone.status_code, gone.json()["errors"][0]["code"]) == (404, 5033)
    assert "Arr" in live.text(question, "pirate")


def test_an_adapter_of_another_base_is_refused_in_one_line(live: LiveServer, tmp_path: Path) -> None:
    script = "from tests.live.foreign import save; import sys; save(sys.argv[1])"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=CHECKOUT, check=True, timeout=60)
    refused = outworker("adapter", "add", str(tmp_path), "--name", "foreign", data_dir=live.data_dir)
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "lora_A" in refused.stderr
    assert "stand-in" in refused.stderr
    assert "Traceback" not in refused.stderr
