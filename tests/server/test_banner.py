"""What the terminal shows at the start: page, token, a line to paste; and who else can call."""

import subprocess
from dataclasses import replace
from typing import Any

import pytest

from app.server.banner import banner, for_others, lan_addresses
from app.settings import Settings


def at(settings: Settings, **server: Any) -> Settings:
    return replace(settings, server=replace(settings.server, **server))


def test_page_token_and_a_line_to_paste(settings: Settings) -> None:
    said = banner(settings, 8901, new_token="ow_new", page="http://127.0.0.1:8901/#code=c", seconds=3.21)
    lines = said.splitlines()
    assert lines[0] == "ready on http://127.0.0.1:8901 after 3.2 s"
    assert [line.split()[0] for line in lines[2 : lines.index("", 2)]] == ["page", "token"] + ["model"] * (
        settings.models[0].weights == "stand-in"
    )
    assert f"ow_new (kept in {settings.server.data_dir}/dev-token)" in said
    assert len(lines) <= 9
    curl = said[said.index("curl -N") :]
    assert subprocess.run(["bash", "-n", "-c", curl], check=False).returncode == 0


def test_an_old_token_is_not_shown(settings: Settings) -> None:
    said = banner(settings, 8901, new_token=None, page=None, seconds=1)
    assert "  token  unchanged (kept in " in said
    assert "page" not in said


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_nothing_where_only_this_machine_can_call(settings: Settings, host: str) -> None:
    assert for_others(at(settings, host=host), 8788, ["192.0.2.7"]) is None


def test_what_to_set_before_others_are_answered(settings: Settings) -> None:
    line = for_others(at(settings, host="0.0.0.0"), 8901, ["192.0.2.7", "198.51.100.7"])
    assert line is not None
    assert "http://192.0.2.7:8901 or http://198.51.100.7:8901" in line
    assert "ALLOWED_HOSTS=192.0.2.7 HOST=0.0.0.0 make serve" in line
    assert "\n" not in line


@pytest.mark.parametrize("allowed", [("*",), ("192.0.2.7",), ("127.0.0.1", "192.0.2.7")])
def test_what_is_set_is_not_asked_for(settings: Settings, allowed: tuple[str, ...]) -> None:
    line = for_others(at(settings, host="::", allowed_hosts=allowed), 80, ["192.0.2.7"])
    assert line == "other machines reach it at http://192.0.2.7:80"


def test_an_address_that_is_listened_on_is_answered(settings: Settings) -> None:
    assert (
        for_others(at(settings, host="192.0.2.7"), 80, []) == "other machines reach it at http://192.0.2.7:80"
    )
    assert (
        for_others(at(settings, host="fd00::7"), 80, []) == "other machines reach it at http://[fd00::7]:80"
    )


def test_a_machine_without_a_network(settings: Settings) -> None:
    assert for_others(at(settings, host="0.0.0.0"), 80, []) is None


def test_the_addresses_of_this_machine() -> None:
    assert not [
        address for address in lan_addresses() if address.startswith(("127.", "169.254.")) or ":" in address
    ]
