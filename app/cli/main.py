"""The command line: `outworker serve | backup | restore | doctor | weights | token | adapter`.

Imports are inside the commands: `outworker serve` must start its server process without delay.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from app.cli.adapter_commands import adapter_app
from app.cli.options import Account, Config, Env
from app.errors import OperatorError

if TYPE_CHECKING:
    from app.settings import Settings

app = App(name="outworker", help="Workers AI on hardware you own.", version="0.1.0", help_format="plaintext")
token_app = App(name="token", help="Tokens of the accounts.")
weights_app = App(name="weights", help="Published forms of the model: list, show, pull.")
app.command(weights_app)
app.command(token_app)
app.command(adapter_app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. What a person must change is one line on standard error and exit code 2."""
    try:
        try:
            sys.exit(app(arguments))
        finally:
            sys.stdout.flush()  # here, where a full disk behind it is one line
    except BrokenPipeError:
        os._exit(1)  # the reader of our output is gone: nothing more to say
    except (OperatorError, OSError) as error:
        print(f"outworker: {error if isinstance(error, OperatorError) else _said(error)}", file=sys.stderr)
        _exit_with_error()


def _said(error: OSError) -> str:
    """Return what the system could not do, of a file that no command foresaw."""
    where = error.filename or "a file of the data directory, or the output"
    return f"{where}: {error.strerror or error}; check room and permissions there"


def _exit_with_error() -> None:
    """End with status 2. Where the output can't take what was printed the interpreter must not try again."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stderr.flush()
        os._exit(2)
    sys.exit(2)


@app.command
def serve(
    *,
    config: Config = None,
    env: Env = None,
    log: Annotated[
        str | None,
        Parameter(help='Log file, "-" for this terminal. Default: server.log in the data directory.'),
    ] = None,
    model_engine: Annotated[str | None, Parameter(help="vLLM, Transformers or llama.cpp.")] = None,
    model_format: Annotated[str | None, Parameter(help="pytorch, gptq, awq, ggufv2 or llamafile.")] = None,
    quantization: Annotated[
        str | None, Parameter(help="none, 8-bit, 4-bit, Int4, Q4_K_M, …: see `outworker weights list`.")
    ] = None,
    size_in_billions: Annotated[str | None, Parameter(help="7.")] = None,
    auto: Annotated[
        bool,
        Parameter(negative="", help="Serve the best form of the model that fits this machine, and say why."),
    ] = False,
) -> int:
    """Serve the API until Ctrl-C or SIGTERM; running requests may finish first.

    The words for engine, format, quantization and size are xinference's, for the entries of that model.
    """
    from app.server.child_processes import ProcessRecord
    from app.server.launcher import Launcher, Log
    from app.settings import load_settings

    settings = load_settings(config, env, os.environ)
    data_dir = settings.server.data_dir
    options = {
        "--config": config and str(config),
        "--env": env,
        "--model-engine": model_engine,
        "--model-format": model_format,
        "--quantization": quantization,
        "--size-in-billions": size_in_billions,
    }
    arguments = [word for name, value in options.items() if value for word in (name, value)]
    arguments += ["--auto"] if auto else []
    file = Path(log) if log else data_dir / "server.log"
    kept = None if log == "-" else Log(file, settings.limits.max_log_bytes)
    return Launcher(arguments, kept, ProcessRecord(data_dir / "processes.json")).run()


@app.command
def backup(place: Path, /, *, config: Config = None, env: Env = None) -> None:
    """Save tokens, adapters and their files to a new folder or FILE.tar; a server may run meanwhile."""
    from app.cli.backup import backup as save

    save(place, _settings(config, env))


@app.command
def restore(
    place: Path,
    /,
    *,
    replace: Annotated[bool, Parameter(negative="", help="Lose what the data directory has now.")] = False,
    config: Config = None,
    env: Env = None,
) -> None:
    """Put a backup into the data directory. No server may use it."""
    from app.cli.backup import restore as put_back

    put_back(place, _settings(config, env), replace=replace)


@app.command
def doctor(*, config: Config = None, env: Env = None) -> int:
    """Say what the server would choose for this machine, and why. Status 1: an engine could not start."""
    from app.cli.doctor import doctor as examine
    from app.settings import load_settings

    return examine(load_settings(config, env, os.environ))


@app.command
def page(*, config: Config = None, env: Env = None) -> None:
    """Print a link to the playground that signs a browser in: once, within 10 minutes."""
    from app.cli.page import print_page_link
    from app.server.stores import open_stores

    print_page_link(open_stores(config, env))


@weights_app.command(name="list")
def weights_list(*, config: Config = None, env: Env = None) -> None:
    """All published forms of the model, and whether each fits this machine or why not."""
    from app.cli.weights import list_weights

    list_weights(_data_dir(config, env))


@weights_app.command(name="show")
def weights_show(variant: str, /, *, config: Config = None, env: Env = None) -> None:
    """One form: where it is, whether it is pulled, how each engine would run it here."""
    from app.cli.weights import show_weights

    show_weights(variant, _data_dir(config, env))


@weights_app.command(name="pull")
def weights_pull(
    variant: str,
    /,
    *,
    hub: Annotated[str, Parameter(help="huggingface or modelscope.")] = "huggingface",
    config: Config = None,
    env: Env = None,
) -> None:
    """Download one into the usual cache. What arrived before is not downloaded again."""
    from app.cli.weights import pull_weights

    pull_weights(variant, hub, _data_dir(config, env))


@token_app.command(name="create")
def token_create(
    *,
    account: Annotated[str, Parameter(help="Account id that the token serves.")],
    scope: Annotated[list[str], Parameter(help="ai:read or ai:write (which implies ai:read).")],
    name: Annotated[str, Parameter(help="Whose it is, or what for: `token list` shows it.")] = "",
    new_account: Annotated[
        bool, Parameter(negative="", help="The account has nothing yet: make it.")
    ] = False,
    config: Config = None,
    env: Env = None,
) -> None:
    """Make a token and print it: this is the only time it is shown."""
    from app.server.stores import open_stores

    stores = open_stores(config, env)
    if not new_account:
        stores.check_account(account, "or make it with --new-account")
    tokens = stores.tokens
    token_id, token = tokens.create(account, scope, name)
    try:
        print(f"id     {token_id}\ntoken  {token}", flush=True)
    except OSError as error:  # nobody has seen it, nobody ever will
        tokens.revoke(token_id)
        raise OperatorError(
            f"the output: {error.strerror}; the token could not be shown and is revoked"
        ) from None


@token_app.command(name="list")
def token_list(*, account: Account = None, config: Config = None, env: Env = None) -> None:
    """Tokens without their secrets, one per line: id, account, scope, time of making, name."""
    from app.cli.tokens import list_tokens
    from app.server.stores import open_stores

    list_tokens(open_stores(config, env), account)


@token_app.command(name="revoke")
def token_revoke(token_id: str, /, *, config: Config = None, env: Env = None) -> None:
    """End a token; a running server refuses it within a second."""
    from app.server.stores import open_stores

    open_stores(config, env).tokens.revoke(token_id)
    print(f"revoked {token_id}")


def _settings(config: Path | None, env: str | None) -> "Settings":
    from app.settings import load_settings

    return load_settings(config, env, os.environ)


def _data_dir(config: Path | None, env: str | None) -> Path:
    return _settings(config, env).server.data_dir


if __name__ == "__main__":
    main()
