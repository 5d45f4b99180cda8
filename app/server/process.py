"""The server process: `python -m app.server.process`. Started by the launcher; reports to it line by line.

Parts are made in the order that lets `/health` answer first: settings and database here, weights, tokenizer and
engine in the background once the socket listens.
"""

import argparse
import asyncio
import ctypes
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvloop
from sqlalchemy.exc import DatabaseError

from app.accounts.development import development_token
from app.accounts.page_codes import PageCodes, page_link
from app.accounts.running import Running
from app.accounts.token_uses import TokenUses
from app.accounts.tokens import TokenCache
from app.catalog.cards import load_cards
from app.data_dir.server_address import ServerAddress, forget
from app.data_dir.server_lock import ServerLock
from app.data_dir.socket_folder import SocketFolder
from app.engines.engine import freeze_memory
from app.errors import EngineLost, OperatorError, StartupError
from app.http.error_boundary import ANY_HOST
from app.http.routes.playground import PageSignIn
from app.http.uvicorn_server import DrainingServer, http_server, listen
from app.logs import StartSteps, log_startup
from app.resources import resource
from app.server.application import create_app
from app.server.assembly import Assembly
from app.server.banner import banner, for_others, lan_addresses
from app.server.child_processes import ProcessRecord, end_descendants
from app.server.launcher import REPORT_FD_VARIABLE
from app.server.stores import Stores, stores_of
from app.settings import Settings, check_models, load_settings
from app.weights.selection import LaunchOptions, check_pairs, with_options

ANY_HOST_WARNING = (
    'server.allowed_hosts has "*": a web page that a browser here opens can reach this server under a name of its own '
    "(DNS rebinding), and then only tokens protect it"
)

log = logging.getLogger(__name__)

RECORD_INTERVAL_S = 0.5
PR_SET_PDEATHSIG = 1


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the server listens there is nothing to finish
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the log is another process's
    arguments = _arguments()
    report = _reporter()
    log_startup("imports")
    try:
        settings = load_settings(arguments.config, arguments.env, os.environ)
        options = _options(arguments)
        if options.any:
            settings, line = with_options(settings, options)
            report(line)
        check_pairs(settings)
        _run(settings, report)
    except OperatorError as error:
        report(f"outworker: {error}")
        _end(2)
    except Exception:  # the process's boundary: the cause goes into the log, and the launcher names the log
        log.exception("the server failed")
        report("outworker: the server failed")
        _end(1)


def _end(status: int) -> None:
    """Leave at once: threads that still load an engine must not hold up the end, nor its children outlive it."""
    end_descendants()
    logging.shutdown()
    os._exit(status)


async def _serve(settings: Settings, report: Callable[[str], None]) -> int:
    began, steps = time.monotonic(), StartSteps()
    steps.watch()
    record = ProcessRecord(settings.server.data_dir / "processes.json")
    cards = load_cards(resource("schemas"))
    check_models(settings, cards)
    log_startup("settings and cards")
    listening = _take_place(settings)
    if ended := record.end_leftovers():
        report(f"ended {ended} processes that a killed server had left running")
    stores = stores_of(settings, is_server=True)
    token, token_is_new = development_token(stores.tokens, settings.server.data_dir, settings.account_id)
    stores.checkpoint()  # a signal that comes before the server handles it ends this process as it is
    log_startup("database")
    failures: list[BaseException] = []

    def end_with(failure: BaseException) -> None:
        failures.append(failure)
        if len(failures) == 1:  # told twice it would end at once
            server.end()

    def on_start(failure: BaseException | None) -> None:
        with suppress(OSError):  # the recorder says it
            record.write()
        if failure is None:
            freeze_memory()
            log_startup("ready")
            steps.close()
            new_token = token if token_is_new else None
            report(_ready_text(settings, port, stores.page_codes, new_token, time.monotonic() - began))
        else:
            end_with(failure)

    assembly = Assembly(settings, cards, stores.adapters, lost=end_with)
    uses = TokenUses(stores.tokens.used)
    server = http_server(
        settings,
        create_app(
            settings,
            assembly.groups(),
            find_caller=TokenCache(stores.tokens, time.monotonic, uses).caller,
            running=Running(stores.tokens.revoked),
            finetunes=stores.finetunes,
            sign_in=PageSignIn(stores.page_codes, settings.account_id, token),
            start_steps=lambda: steps.steps,
            on_start=on_start,
        ),
        report,
    )
    log_startup("listening")
    port = listening.getsockname()[1]
    report(_starting(settings, port))
    await _until_stopped(settings, server, listening, record=record, stores=stores, uses=uses)
    return _status(failures, report)


async def _until_stopped(
    settings: Settings,
    server: DrainingServer,
    listening: socket.socket,
    *,
    record: ProcessRecord,
    stores: Stores,
    uses: TokenUses,
) -> None:
    """Serve, and leave nothing running and the data directory whole."""
    recorder = asyncio.create_task(_record_children(record))
    writer = asyncio.create_task(uses.watch())
    sockets = SocketFolder.of(settings.server.data_dir)
    try:
        # Libraries look for parts of theirs where a process stands: here nobody else writes.
        os.chdir(settings.server.data_dir)
        sockets.make()
        sockets.export()
        await server.serve(sockets=[listening])
    finally:
        recorder.cancel()
        writer.cancel()
        uses.flush()
        end_descendants()
        sockets.remove()
        forget(settings.server.data_dir)
        record.path.unlink(missing_ok=True)
        stores.checkpoint()  # last: what a thread still writes is in it


def _starting(settings: Settings, port: int) -> str:
    line = f"starting on http://{settings.server.host}:{port} (/health answers, /ready when the engine does)"
    return f"{line}\n{ANY_HOST_WARNING}" if ANY_HOST in settings.server.allowed_hosts else line


def _take_place(settings: Settings) -> socket.socket:
    """Take the data directory until this process ends, listen, and tell the commands where."""
    data_dir = settings.server.data_dir
    ServerLock.take(data_dir)
    try:
        forget(data_dir)
        listening = listen(settings)
        ServerAddress.of_socket(listening).write(data_dir)
    except OSError as error:
        raise StartupError(f"data directory {data_dir}: {error.strerror}; it must be writable") from error
    return listening


def _ready_text(
    settings: Settings, port: int, codes: PageCodes, new_token: str | None, seconds: float
) -> str:
    page = _page_link(settings, port, codes)
    text = banner(settings, port, new_token=new_token, page=page, seconds=seconds)
    others = for_others(settings, port, lan_addresses())
    return f"{text}\n\n{others}" if others else text


def _page_link(settings: Settings, port: int, codes: PageCodes) -> str | None:
    """Return the page's address with a new code. A database that takes none just now costs the code, not the start."""
    if not settings.server.playground:
        return None
    url = ServerAddress(settings.server.host, port).url
    try:
        return page_link(url, codes.make())
    except DatabaseError as error:
        log.warning("no one-time link to the page: %s", error.orig)
        return page_link(url, None)


def _status(failures: list[BaseException], report: Callable[[str], None]) -> int:
    if not failures:
        report("stopped")
        return 0
    failure = failures[0]
    if not isinstance(failure, OperatorError):
        log.error("the server did not start", exc_info=failure)
        failure = StartupError("the server did not start: its log says why")
    report(f"outworker: {failure}")
    return 1 if isinstance(failure, EngineLost) else 2


async def _record_children(record: ProcessRecord) -> None:
    """While an engine starts its children appear one by one; a kill at any moment must find them recorded."""
    said = ""
    while True:
        try:
            await asyncio.to_thread(record.write)
            said = ""
        except OSError as error:  # serving goes on, and the log hears of a full disk once
            if (fault := error.strerror or str(error)) != said:
                log.warning("%s can't be written: %s", record.path.name, fault)
            said = fault
        await asyncio.sleep(RECORD_INTERVAL_S)


def _reporter() -> Callable[[str], None]:
    """Writes lines to the launcher, or to standard output without one. A launcher that is gone is no error."""
    number = os.environ.pop(REPORT_FD_VARIABLE, "")
    if not number.isdecimal():
        return lambda line: print(line, flush=True)
    descriptor = int(number)
    os.set_inheritable(descriptor, False)
    _end_with_parent()

    def report(line: str) -> None:
        with suppress(OSError):
            os.write(descriptor, f"{line}\n".encode())

    return report


def _end_with_parent() -> None:
    """Linux: when the launcher is killed this process gets SIGINT and drains: nobody waits for a grace time."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _run(settings: Settings, report: Callable[[str], None]) -> None:
    async def serve_and_end() -> None:
        # Ends in here: closing the loop would wait for the thread that may still be starting an engine.
        _end(await _serve(settings, report))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_and_end())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.server.process")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--env")
    for option in ("--model-engine", "--model-format", "--quantization", "--size-in-billions"):
        parser.add_argument(option)
    parser.add_argument("--auto", action="store_true")
    return parser.parse_args()


def _options(arguments: argparse.Namespace) -> LaunchOptions:
    return LaunchOptions(
        engine=arguments.model_engine,
        format=arguments.model_format,
        quantization=arguments.quantization,
        size_in_billions=arguments.size_in_billions,
        auto=arguments.auto,
    )


if __name__ == "__main__":
    for name in ("uvicorn.error", "python_multipart"):  # a line per broken request would fill the disk
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("gguf").setLevel(logging.WARNING)  # it tells of every file that it writes
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    main()
