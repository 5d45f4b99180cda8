"""The command line in this process, against a server of this process or the test's own data directory."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.cli.main import main
from app.data_dir.server_address import ServerAddress
from app.data_dir.server_lock import ServerLock
from app.settings import CHECKOUT
from tests.conftest import Served

FAKE = CHECKOUT / "wrangler-like-config" / "fake-engine.toml"


@dataclass(frozen=True)
class Done:
    status: int | str | None
    out: str
    err: str

    @property
    def fields(self) -> dict[str, str]:
        """`key   value` lines of the output."""
        return {
            key: value.strip() for key, _, value in (line.partition(" ") for line in self.out.splitlines())
        }


Command = Callable[..., Done]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`command("adapter", "list")` on the test's data directory."""
    monkeypatch.setenv("OUTWORKER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("CLOUDFLARE_API_TOKEN", raising=False)
    monkeypatch.delenv("HOST", raising=False)
    monkeypatch.delenv("PORT", raising=False)

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--config", str(FAKE)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Done(ended.value.code, said.out, said.err)

    return run


At = Callable[..., Awaitable[Done]]


@contextmanager
def uses(data_dir: Path, address: ServerAddress) -> Iterator[None]:
    """A server at `address` uses the folder meanwhile."""
    lock = ServerLock.take(data_dir)
    address.write(data_dir)
    try:
        yield
    finally:
        lock.release()


@pytest.fixture
def at(command: Command) -> At:
    """`await at(served, "adapter", "push", …)`: as a person does beside a running server, with its development
    token."""

    async def run(served: Served, *arguments: str) -> Done:
        data_dir = served.settings.server.data_dir
        (data_dir / "dev-token").write_text(served.token + "\n")
        with uses(data_dir, ServerAddress("127.0.0.1", int(served.url.rpartition(":")[2]))):
            done = await asyncio.to_thread(command, *arguments)
        assert served.token not in done.out + done.err
        return done

    return run
