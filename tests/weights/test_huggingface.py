"""Pulling from a hub on loopback: what comes, what is resumed, what is refused, and that no half file is ever used."""

import hashlib
import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.files import folder_lock
from app.weights.huggingface import pull
from app.weights.variants import load_catalogues, named_variant
from tests.hub.server import TOKEN, Hub
from tests.weights.conftest import (
    GGUF_FILE,
    GGUF_REPOSITORY,
    GPTQ_REPOSITORY,
    LARGE,
    MIB,
    Folder,
    Puller,
    hub_client,
)

VARIANT = "gguf-Q4_K_M"


def test_a_file_into_the_usual_cache(puller: Puller, hub: Hub) -> None:
    assert puller.place(VARIANT) == "no"
    place = puller.pulls(VARIANT)
    assert place.read_bytes() == LARGE
    storage = puller.cache / f"models--{GGUF_REPOSITORY.replace('/', '--')}"
    commit = hub.commit(GGUF_REPOSITORY, "main")
    assert place == storage / "snapshots" / commit / GGUF_FILE
    assert place.resolve() == storage / "blobs" / hashlib.sha256(LARGE).hexdigest()
    assert (storage / "refs" / "main").read_text() == commit
    assert puller.place(VARIANT) == str(place)
    assert f"pulled       {place}" in puller.run("weights", "show", VARIANT).stdout.splitlines()
    assert not puller.partial_files()
    assert not hub.asked("README.md")


def test_a_second_pull_downloads_nothing(puller: Puller, hub: Hub) -> None:
    first = puller.pulls(VARIANT)
    before = len(hub.asked(GGUF_FILE))
    assert puller.pulls(VARIANT) == first
    assert len(hub.asked(GGUF_FILE)) == before == 1


def test_several_files_of_a_branch(puller: Puller, hub: Hub, folder_files: Folder) -> None:
    branch = "gptq-4bit-32g-actorder_True"
    hub.repositories[GPTQ_REPOSITORY] = {"main": folder_files("128g"), branch: folder_files("32g")}
    place = puller.pulls(f"gptq-{branch}")
    expected = {
        name: data for name, data in folder_files("32g").items() if name.endswith((".json", ".safetensors"))
    }
    assert {path.name: path.read_bytes() for path in place.iterdir()} == expected
    assert puller.place(f"gptq-{branch}") == str(place)
    assert puller.place("gptq-main") == "no"


def test_what_is_not_needed_is_left_out(puller: Puller, hub: Hub, folder_files: Folder) -> None:
    hub.repositories["mistralai/Mistral-7B-Instruct-v0.2"] = {"main": folder_files("original")}
    names = {path.name for path in puller.pulls("pytorch").iterdir()}
    assert names == {
        "config.json",
        "tokenizer.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    }


def test_a_cut_connection_is_taken_up_where_it_broke(puller: Puller, hub: Hub) -> None:
    hub.cut_after[GGUF_FILE] = [21 * MIB]
    assert puller.pulls(VARIANT).read_bytes() == LARGE
    assert [each.range for each in hub.asked(GGUF_FILE)] == [None, f"bytes={20 * MIB}-"]


def test_a_killed_pull_leaves_nothing_that_is_used_and_the_next_goes_on(puller: Puller, hub: Hub) -> None:
    hub.stall_after[GGUF_FILE] = 21 * MIB
    process = puller.start("weights", "pull", VARIANT)
    while not any(path.stat().st_size >= 20 * MIB for path in puller.partial_files()):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    assert puller.place(VARIANT) == "no"
    assert [path.stat().st_size for path in puller.partial_files()] == [20 * MIB]
    del hub.stall_after[GGUF_FILE]
    assert puller.pulls(VARIANT).read_bytes() == LARGE
    assert hub.asked(GGUF_FILE)[-1].range == f"bytes={20 * MIB}-"
    assert not puller.partial_files()


def test_a_hub_that_sends_all_when_asked_for_the_rest(puller: Puller, hub: Hub) -> None:
    puller.leave_partial(LARGE[: 20 * MIB])
    hub.ignores_range = True
    assert puller.pulls(VARIANT).read_bytes() == LARGE
    assert [each.range for each in hub.asked(GGUF_FILE)] == [f"bytes={20 * MIB}-"]


def test_a_part_that_was_whole_only_needs_the_check(puller: Puller, hub: Hub) -> None:
    puller.leave_partial(LARGE)
    assert puller.pulls(VARIANT).read_bytes() == LARGE
    assert not hub.asked(GGUF_FILE)


def test_a_part_that_is_longer_than_the_file_is_begun_anew(puller: Puller, hub: Hub) -> None:
    puller.leave_partial(LARGE + b"more")
    assert puller.pulls(VARIANT).read_bytes() == LARGE
    assert [each.range for each in hub.asked(GGUF_FILE)] == [None]


def test_a_part_of_something_else_is_found_out(puller: Puller) -> None:
    puller.leave_partial(b"x" * 1000)
    assert "wrong checksum" in puller.refused(VARIANT)
    assert puller.pulls(VARIANT).read_bytes() == LARGE


def test_ctrl_c_is_one_line(puller: Puller, hub: Hub) -> None:
    hub.stall_after[GGUF_FILE] = 21 * MIB
    process = puller.start("weights", "pull", VARIANT)
    while not puller.partial_files():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert err.splitlines()[-1].startswith("outworker: interrupted")
    assert "Traceback" not in err
    assert puller.partial_files()  # which the next pull goes on from


def test_some_files_of_several_are_not_used(puller: Puller, hub: Hub, folder_files: Folder) -> None:
    hub.repositories[GPTQ_REPOSITORY] = {"main": folder_files("x")}
    hub.corrupt.add("model-00002-of-00002.safetensors")
    assert "wrong checksum: model-00002-of-00002.safetensors" in puller.refused("gptq-main")
    assert puller.place("gptq-main") == "no"
    hub.corrupt.clear()
    before = len(hub.asked("model-00001-of-00002.safetensors"))
    puller.pulls("gptq-main")
    assert len(hub.asked("model-00001-of-00002.safetensors")) == before


def test_a_wrong_checksum(puller: Puller, hub: Hub) -> None:
    hub.corrupt.add(GGUF_FILE)
    line = puller.refused(VARIANT)
    assert f"wrong checksum: {GGUF_FILE} should have {hashlib.sha256(LARGE).hexdigest()[:16]}" in line
    assert puller.place(VARIANT) == "no"
    assert not puller.partial_files()
    hub.corrupt.clear()
    assert puller.pulls(VARIANT).read_bytes() == LARGE


def test_a_small_file_with_a_wrong_checksum(puller: Puller, hub: Hub, folder_files: Folder) -> None:
    hub.repositories[GPTQ_REPOSITORY] = {"main": folder_files("x")}
    hub.corrupt.add("config.json")
    assert "wrong checksum: config.json" in puller.refused("gptq-main")


def test_a_newer_commit_that_comes_half_leaves_the_older_one(puller: Puller, hub: Hub) -> None:
    old = puller.pulls(VARIANT)
    hub.repositories[GGUF_REPOSITORY]["main"][GGUF_FILE] = b"newer " * 100
    hub.corrupt.add(GGUF_FILE)
    puller.refused(VARIANT)
    assert puller.place(VARIANT) == str(old)
    hub.corrupt.clear()
    new = puller.pulls(VARIANT)
    assert new.read_bytes() == b"newer " * 100
    assert puller.place(VARIANT) == str(new) != str(old)


def test_an_etag_that_is_a_path(puller: Puller, hub: Hub) -> None:
    hub.etag = "../../outside"
    assert f"no etag for {GGUF_FILE} that could name a file" in puller.refused(VARIANT)
    assert not list(puller.home.rglob("outside*"))


def test_a_missing_revision(puller: Puller, hub: Hub, folder_files: Folder) -> None:
    hub.repositories[GPTQ_REPOSITORY] = {"main": folder_files("x")}
    line = puller.refused("gptq-gptq-8bit-32g-actorder_True")
    assert f"{GPTQ_REPOSITORY} has no revision gptq-8bit-32g-actorder_True" in line


def test_a_missing_file(puller: Puller, hub: Hub, folder_files: Folder) -> None:
    assert "has no file mistral-7b-instruct-v0.2.Q6_K.gguf at main" in puller.refused("gguf-Q6_K")
    files = folder_files("x")
    hub.repositories[GPTQ_REPOSITORY] = {
        "main": {name: data for name, data in files.items() if not name.endswith(".safetensors")}
    }
    assert "has no file *.safetensors at main" in puller.refused("gptq-main")


def test_a_repository_that_needs_a_token(puller: Puller, hub: Hub) -> None:
    hub.private = True
    line = puller.refused(VARIANT)
    assert "401" in line
    assert "HF_TOKEN" in line
    puller.environment["HF_TOKEN"] = TOKEN
    assert puller.pulls(VARIANT).read_bytes() == LARGE
    assert {each.authorization for each in hub.requests if each.host == "files"} == {None}


def test_a_gated_repository(puller: Puller, hub: Hub) -> None:
    hub.gated = True
    line = puller.refused(VARIANT)
    assert "is gated: accept its terms at" in line
    assert GGUF_REPOSITORY in line
    assert "hf auth login" in line


def test_a_hub_that_fails(puller: Puller, hub: Hub) -> None:
    hub.status = 403
    assert "the hub answered 403" in puller.refused(VARIANT)


@pytest.mark.parametrize("page", [b"<html>log in</html>", b"{}", b"[]"])
def test_what_is_no_answer_of_the_hub(puller: Puller, hub: Hub, page: bytes) -> None:
    hub.page = page
    line = puller.refused(VARIANT)
    assert f"{hub.url} does not answer as the hub does" in line
    assert "HF_ENDPOINT" in line


def test_a_hub_that_sends_one_round_in_circles(puller: Puller, hub: Hub) -> None:
    hub.loops = True
    assert f"{hub.url} does not answer as the hub does" in puller.refused(VARIANT)


@pytest.mark.parametrize("address", ["hub.local", "http://127.0.0.1:1/\x01"])
def test_an_address_that_is_none(puller: Puller, address: str) -> None:
    puller.environment["HF_ENDPOINT"] = address
    line = puller.refused(VARIANT)
    assert "does not answer as the hub does" in line
    assert "correct HF_ENDPOINT" in line
    assert line.isprintable()


def test_a_pull_that_waits_for_another_says_so(puller: Puller) -> None:
    blobs = puller.cache / f"models--{GGUF_REPOSITORY.replace('/', '--')}" / "blobs"
    blobs.mkdir(parents=True)
    said: list[str] = []
    with ExitStack() as other, hub_client(puller.environ):
        other.enter_context(folder_lock(blobs))
        guard = threading.Timer(10, other.close)  # silence is a failure, not a hang
        other.callback(guard.cancel)
        guard.start()

        def say(line: str) -> None:
            said.append(line)
            other.close()

        place = pull(named_variant(load_catalogues(), VARIANT).copy("huggingface"), say)
    assert place.read_bytes() == LARGE
    assert said[0].startswith(f"waiting for another pull of {GGUF_REPOSITORY}")
    assert len(said) == 2


def test_no_network(puller: Puller) -> None:
    puller.environment["HF_ENDPOINT"] = "http://127.0.0.1:1"
    assert "no connection to http://127.0.0.1:1" in puller.refused(VARIANT)
    assert puller.place(VARIANT) == "no"


def test_a_hub_that_is_switched_off(puller: Puller, hub: Hub) -> None:
    puller.environment["HF_HUB_OFFLINE"] = "1"
    assert "unset HF_HUB_OFFLINE" in puller.refused(VARIANT)
    assert not hub.requests


def test_no_space_is_said_before_anything_comes(puller: Puller, hub: Hub) -> None:
    hub.declared_sizes[GGUF_FILE] = 10**15
    line = puller.refused(VARIANT)
    assert "not enough disk: 1000000.00 GB are to be downloaded" in line
    assert str(puller.cache) in line
    assert not hub.asked(GGUF_FILE)


def test_a_cache_that_cannot_be_written(puller: Puller, tmp_path: Path) -> None:
    puller.environment["HF_HOME"] = str(tmp_path / "a-file" / "home")
    (tmp_path / "a-file").write_text("no folder")
    assert "set HF_HOME to a folder that can be written" in puller.refused(VARIANT)


def test_a_variant_that_there_is_not(puller: Puller) -> None:
    assert "no variant awqs; did you mean awq?" in puller.refused("awqs")
    assert "awq is not on the hub modelscope: pull it from huggingface" in puller.refused(
        "awq", "--hub", "modelscope"
    )
