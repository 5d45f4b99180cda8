"""`outworker adapter add | push | list | show | rm | check`. Imports are inside the commands, as in `app.cli.main`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from app.cli.options import Account, Config, Env, Token, TokenFile, Url
from app.errors import OperatorError

if TYPE_CHECKING:
    from app.cli.remote import Remote
    from app.server.stores import Stores

adapter_app = App(name="adapter", help="LoRA adapters: upload, check, list, remove.")


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
    replace: Annotated[bool, Parameter(help="Take the place of the adapter that has the name.")] = False,
    config: Config = None,
    env: Env = None,
) -> None:
    """Check an adapter folder (adapter_config.json, adapter_model.safetensors) and register it."""
    from app.program import program
    from app.server.stores import open_stores

    stores = open_stores(config, env)
    if account is not None:
        stores.check_account(account, f"or make one with `{program()} token create --new-account`")
    stored = stores.add_adapter(
        folder,
        name=name,
        account_id=account,
        model=model,
        description=description,
        public=public,
        replace=replace,
    )
    print(f"id     {stored.id}\nname   {stored.name}\nmodel  {stored.model}\nrank   {stored.rank}")


@adapter_app.command(name="push")
def adapter_push(
    folder: Path,
    /,
    *,
    name: Annotated[str, Parameter(help="Name that requests put into `lora`.")],
    url: Annotated[
        str | None,
        Parameter(help="http://HOST:PORT of a server. Default: the one that uses the data directory."),
    ] = None,
    token: Token = None,
    token_file: TokenFile = None,
    account: Account = None,
    model: Annotated[
        str | None, Parameter(help="Model that it was trained for. Default: the settings' first.")
    ] = None,
    description: str = "",
    public: Annotated[bool, Parameter(help="Other accounts may call it by id.")] = False,
    replace: Annotated[bool, Parameter(help="Take the place of the adapter that has the name.")] = False,
    config: Config = None,
    env: Env = None,
) -> int:
    """Upload an adapter folder to a running server, and print the curl line that calls it."""
    from app.cli.push import push
    from app.cli.remote import find_remote
    from app.cli.token_source import given_token
    from app.settings import load_settings

    settings = load_settings(config, env, os.environ)
    remote = find_remote(settings, os.environ, url, account, given_token(token, token_file))
    return push(
        folder,
        remote,
        model=model or settings.models[0].name,
        name=name,
        description=description,
        public=public,
        replace=replace,
    )


@adapter_app.command(name="list")
def adapter_list(
    *,
    url: Url = None,
    token: Token = None,
    token_file: TokenFile = None,
    account: Account = None,
    config: Config = None,
    env: Env = None,
) -> None:
    """Adapters of an account, one per line: id, name, model, rank, time, state."""
    from app.cli.adapters import list_adapters

    list_adapters(_source(url, (token, token_file), account, config, env), account)


@adapter_app.command(name="show")
def adapter_show(
    id_or_name: str,
    /,
    *,
    url: Url = None,
    token: Token = None,
    token_file: TokenFile = None,
    account: Account = None,
    config: Config = None,
    env: Env = None,
) -> None:
    """One adapter, a field per line."""
    from app.cli.adapters import show_adapter

    show_adapter(_source(url, (token, token_file), account, config, env), account, id_or_name)


@adapter_app.command(name="rm")
def adapter_rm(
    id_or_name: str,
    /,
    *,
    url: Url = None,
    token: Token = None,
    token_file: TokenFile = None,
    account: Account = None,
    config: Config = None,
    env: Env = None,
) -> None:
    """Remove an adapter; a running server stops serving it within a second."""
    from app.cli.adapters import remove_adapter

    remove_adapter(_source(url, (token, token_file), account, config, env), account, id_or_name)


@adapter_app.command(name="check")
def adapter_check(
    folder: Path,
    /,
    *,
    model: Annotated[
        str | None, Parameter(help="Model whose weights to check against. Default: the settings' first.")
    ] = None,
    config: Config = None,
    env: Env = None,
) -> int:
    """Inspect an adapter folder as the server would, without one, and print every finding. Status 1: refused."""
    from app.cli.adapters import check_adapter
    from app.settings import load_settings

    return check_adapter(folder, load_settings(config, env, os.environ), model)


def _source(
    url: str | None,
    token: tuple[str | None, Path | None],
    account: str | None,
    config: Path | None,
    env: str | None,
) -> "Stores | Remote":
    """A server with --url, the data directory without."""
    from app.cli.remote import find_remote
    from app.cli.token_source import given_token
    from app.server.stores import stores_of
    from app.settings import load_settings

    settings = load_settings(config, env, os.environ)
    if url is not None:
        return find_remote(settings, os.environ, url, account, given_token(*token))
    if token != (None, None):
        raise OperatorError("--token: is for --url; without it the command reads the data directory")
    stores = stores_of(settings)
    if account is not None:
        stores.check_account(account)
    return stores
