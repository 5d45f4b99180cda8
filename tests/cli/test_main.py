"""What a command loads before it runs."""

import subprocess
import sys

import pytest

from app.cli.main import main


def test_declaring_the_commands_loads_none_of_their_libraries() -> None:
    """`outworker serve` starts its server process first: what that needs is loaded there."""
    program = "import sys, app.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {
        "httpx",
        "numpy",
        "sqlalchemy",
        "torch",
        "rich.progress",
        "app.cli.api_client",
        "app.server.stores",
    }
    assert heavy.isdisjoint(done.stdout.split())


@pytest.mark.parametrize("verb", ["add", "push", "list", "show", "rm", "check"])
def test_every_adapter_command_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["adapter", verb, "--help"])
    assert ended.value.code == 0
    assert f"outworker adapter {verb}" in capsys.readouterr().out
