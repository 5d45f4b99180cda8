"""`outworker adapter list | show | rm | check`, on the data directory and on a server."""

import os
import shutil
from pathlib import Path

import pytest

from app.settings import CHECKOUT
from tests.cli.conftest import At, Command
from tests.conftest import CF, HF, Serve

PIRATE = CHECKOUT / "adapters" / "pirate"
JSON = CHECKOUT / "adapters" / "json"


def test_the_data_directory_without_a_server(command: Command) -> None:
    assert command("adapter", "list").out == ""
    added = command("adapter", "add", str(PIRATE), "--name", "captain", "--description", "Ahoy")
    assert (added.status, added.fields["rank"]) == (0, "16")
    command("adapter", "add", str(JSON), "--name", "j", "--model", CF, "--public")
    lines = command("adapter", "list").out.splitlines()
    assert lines[0].split()[:5] == [added.fields["id"], "captain", HF, "rank", "16"]
    assert lines[1].split()[1:3] == ["j", CF]
    assert len({line.index("rank ") for line in lines}) == 1, "columns are aligned"
    assert all(line.endswith("  ready") for line in lines)
    shown = command("adapter", "show", "captain").fields
    assert shown["id"] == added.fields["id"]
    assert (shown["name"], shown["model"], shown["state"], shown["rank"]) == ("captain", HF, "ready", "16")
    assert (shown["description"], shown["public"]) == ("Ahoy", "no")
    assert command("adapter", "show", "j").fields["public"] == "yes"
    assert command("adapter", "rm", "captain").out == "removed captain\n"
    assert [line.split()[1] for line in command("adapter", "list").out.splitlines()] == ["j"]


def test_replacing_in_the_data_directory(command: Command) -> None:
    old = command("adapter", "add", str(PIRATE), "--name", "one").fields["id"]
    refused = command("adapter", "add", str(JSON), "--name", "one")
    assert refused.status == 2
    assert "delete it, choose another name, or replace it (--replace" in refused.err
    new = command("adapter", "add", str(JSON), "--name", "one", "--replace").fields["id"]
    assert old != new
    assert [line.split()[0] for line in command("adapter", "list").out.splitlines()] == [new]


@pytest.mark.anyio
async def test_unfinished_ones_in_the_data_directory(serve: Serve, at: At) -> None:
    async with serve() as served:
        served.stores.finetunes.create("local", "half", HF, "stand-in")
        assert (await at(served, "adapter", "list")).out.split()[-1] == "unfinished"
        shown = (await at(served, "adapter", "show", "half")).fields
        assert shown["reason"] == "upload adapter_config.json and adapter_model.safetensors"
        assert (await at(served, "adapter", "rm", "half")).out == "removed half\n"
        assert (await at(served, "adapter", "list")).out == ""


def test_another_account(command: Command) -> None:
    command("token", "create", "--account", "acme", "--scope", "ai:read", "--new-account")
    command("adapter", "add", str(PIRATE), "--name", "captain", "--account", "acme")
    assert command("adapter", "list").out == ""
    assert "captain" in command("adapter", "list", "--account", "acme").out
    assert command("adapter", "show", "captain", "--account", "acme").status == 0
    assert command("adapter", "rm", "captain", "--account", "acme").status == 0


def test_what_is_not_there(command: Command) -> None:
    for verb in ("show", "rm"):
        done = command("adapter", verb, "nobody")
        assert (done.status, done.out) == (2, "")
        assert "nobody" in done.err
        assert len(done.err.splitlines()) == 1


def test_a_token_without_a_url_is_a_mistake(command: Command) -> None:
    done = command("adapter", "list", "--token", "ow_x")
    assert done.status == 2
    assert "--url" in done.err
    assert "ow_x" not in done.err


@pytest.mark.anyio
async def test_the_same_over_http(serve: Serve, at: At) -> None:
    async with serve() as served:
        url = ("--url", served.url)
        assert (await at(served, "adapter", "list", *url)).out == ""
        await at(served, "adapter", "push", str(PIRATE), "--name", "captain", "--description", "Ahoy")
        await served.client.post("/client/v4/accounts/local/ai/finetunes", json={"model": CF, "name": "half"})
        lines = (await at(served, "adapter", "list", *url)).out.splitlines()
        assert [line.split()[1:3] for line in lines] == [["captain", HF], ["half", CF]]
        assert [line.split()[-1] for line in lines] == ["ready", "unfinished"]
        shown = (await at(served, "adapter", "show", "captain", *url)).fields
        assert (shown["name"], shown["rank"], shown["description"]) == ("captain", "16", "Ahoy")
        half = (await at(served, "adapter", "show", "half", *url)).fields
        assert half["state"] == "unfinished"
        assert half["reason"]
        assert (await at(served, "adapter", "rm", "half", *url)).out == "removed half\n"
        assert (await at(served, "adapter", "rm", "captain", *url)).status == 0
        gone = await at(served, "adapter", "show", "captain", *url)
        assert (gone.status, gone.out) == (2, "")
        assert "(code 5033)" in gone.err


@pytest.mark.anyio
async def test_findings_of_a_refused_one_are_shown(serve: Serve, at: At, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(PIRATE, folder)
    os.truncate(folder / "adapter_model.safetensors", 3_000)
    async with serve() as served:
        await at(served, "adapter", "push", str(folder), "--name", "cut")
        lines = (await at(served, "adapter", "show", "cut", "--url", served.url)).out.splitlines()
        assert "state        refused" in lines
        [finding] = [line for line in lines if line.startswith("finding ")]
        assert "the file ends after" in finding


def test_check_of_a_good_folder_writes_nothing_to_the_database(command: Command, tmp_path: Path) -> None:
    done = command("adapter", "check", str(PIRATE))
    assert (done.status, done.err) == (0, "")
    assert done.out == "ready to upload: rank 16, 21 modules\n"
    assert not (tmp_path / "data" / "outworker.db").exists()


@pytest.mark.anyio
async def test_notes_of_an_inspection_are_printed(serve: Serve, at: At, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(PIRATE, folder)
    config = (folder / "adapter_config.json").read_text()
    (folder / "adapter_config.json").write_text(config.replace('"model_type": "mistral",', ""))
    async with serve() as served:
        done = await at(served, "adapter", "check", str(folder))
        note, summary = done.out.splitlines()
        assert note.startswith("note: adapter_config.json: model_type is absent")
        assert (done.status, summary) == (0, "ready to upload: rank 16, 21 modules")
        pushed = await at(served, "adapter", "push", str(folder), "--name", "p")
        assert pushed.fields["note"] == note.removeprefix("note: ")


def test_check_prints_every_finding(command: Command, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 99, "use_dora": true}')
    shutil.copy(PIRATE / "adapter_model.safetensors", tmp_path)
    done = command("adapter", "check", str(tmp_path))
    *lines, summary = done.out.splitlines()
    findings = [line for line in lines if not line.startswith("note: ")]
    assert done.status == 1
    assert summary == f"refused: {len(findings)} findings"
    assert any("use_dora" in line for line in findings)
    assert any("99" in line for line in findings)


def test_check_of_what_is_no_adapter(command: Command, tmp_path: Path) -> None:
    done = command("adapter", "check", str(tmp_path))
    assert (done.status, done.out.splitlines()[-1]) == (1, "refused: 2 findings")
    gone = command("adapter", "check", str(tmp_path / "gone"))
    assert (gone.status, gone.out) == (2, "")
    assert "is not a folder" in gone.err


def test_check_against_a_model_that_the_settings_lack(command: Command) -> None:
    assert command("adapter", "check", str(PIRATE), "--model", CF).status == 0
    done = command("adapter", "check", str(PIRATE), "--model", "@cf/no/such")
    assert done.status == 2
    assert HF in done.err
