"""The command line: `outworker serve | token | adapter`.

Imports are inside the commands: `outworker serve` must start its server process without delay.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from app.errors import OperatorError

app = App(name="outworker", help="Workers AI on hardware you own.", version="0.1.0", help_format="plaintext")
token_app = App(name="token", help="Tokens of the accounts.")
adapter_app = App(name="adapter", help="LoRA adapters on this machine.")
app.command(token_app)
app.command(adapter_app)

Config = Annotated[
    Path | None, Parameter(help="Settings file, TOML or JSONC. Default: wrangler-like-config/outworker.toml.")
]
Env = Annotated[str | None, Parameter(help="Name of the [env.NAME] table whose values override the others.")]
Account = Annotated[str | None, Parameter(help="Account id. Default: account_id of the settings.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. What a person must change is one line on standard error and exit code 2."""
    try:
        sys.exit(app(arguments))
    except OperatorError as error:
        print(f"outworker: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        os._exit(1)  # the reader of our output is gone: nothing more to say


@app.command
def serve(
    *,
    config: Config = None,
    env: Env = None,
    log: Annotated[
        str | None,
        Parameter(help='Log file, "-" for this terminal. Default: server.log in the data directory.'),
    ] = None,
) -> int:
    """Serve the API until Ctrl-C or SIGTERM; running requests may finish first."""
    from app.launcher import Launcher
    from app.processes import ProcessRecord
    from app.settings import load_settings

    data_dir = load_settings(config, env, os.environ).server.data_dir
    arguments = [*(["--config", str(config)] if config else []), *(["--env", env] if env else [])]
    log_file = None if log == "-" else Path(log) if log else data_dir / "server.log"
    return Launcher(arguments, log_file, ProcessRecord(data_dir / "processes.json")).run()


@token_app.command(name="create")
def token_create(
    *,
    account: Annotated[str, Parameter(help="Account id that the token serves.")],
    scope: Annotated[list[str], Parameter(help="ai:read or ai:write (which implies ai:read).")],
    config: Config = None,
    env: Env = None,
) -> None:
    """Make a token and print it: this is the only time it is shown."""
    from app.stores import open_stores

    token_id, token = open_stores(config, env).tokens.create(account, scope)
    print(f"id     {token_id}\ntoken  {token}")


@token_app.command(name="list")
def token_list(*, account: Account = None, config: Config = None, env: Env = None) -> None:
    """Tokens without their secrets."""
    from app.stores import open_stores

    for record in open_stores(config, env).tokens.list(account):
        print(f"{record.id}  {record.account_id}  {','.join(sorted(record.scopes))}  {record.created_at}")


@token_app.command(name="revoke")
def token_revoke(token_id: str, /, *, config: Config = None, env: Env = None) -> None:
    """End a token; a running server refuses it within a second."""
    from app.stores import open_stores

    open_stores(config, env).tokens.revoke(token_id)
    print(f"revoked {token_id}")


@adapter_app.command(name="add")
def adapter_add(
    folder: Path,
    /,
    *,
    name: Annotated[str, Parameter(help="Name that requests put into `lora`.")],
    account: Account = None,
    model: Annotated[
        str | None, Parameter(help="Model card to add it to. Default: the settings' first.")
    ] = None,
    description: str = "",
    public: Annotated[bool, Parameter(help="Other accounts may call it by id.")] = False,
    config: Config = None,
    env: Env = None,
) -> None:
    """Check an adapter folder (adapter_config.json, adapter_model.safetensors) and register it."""
    from app.stores import open_stores

    stored = open_stores(config, env).add_adapter(
        folder, name=name, account_id=account, model=model, description=description, public=public
    )
    print(f"id     {stored.id}\nname   {stored.name}\nmodel  {stored.model}\nrank   {stored.rank}")


@adapter_app.command(name="list")
def adapter_list(*, account: Account = None, config: Config = None, env: Env = None) -> None:
    """Adapters of an account."""
    from app.stores import open_stores

    stores = open_stores(config, env)
    for stored in stores.adapters.list(account or stores.settings.account_id):
        print(f"{stored.id}  {stored.name}  {stored.model}  rank {stored.rank}  {stored.created_at}")


@adapter_app.command(name="rm")
def adapter_rm(
    id_or_name: str, /, *, account: Account = None, config: Config = None, env: Env = None
) -> None:
    """Remove an adapter; a running server stops serving it within a second."""
    from app.stores import open_stores

    stores = open_stores(config, env)
    stores.adapters.remove(account or stores.settings.account_id, id_or_name)
    print(f"removed {id_or_name}")


if __name__ == "__main__":
    main()
