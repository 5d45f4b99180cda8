"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Config = Annotated[
    Path | None,
    Parameter(
        help="Settings file, TOML or JSONC. Default: wrangler-like-config/ has one for what is installed."
    ),
]
Env = Annotated[str | None, Parameter(help="Name of the [env.NAME] table whose values override the others.")]
Account = Annotated[str | None, Parameter(help="Account id. Default: account_id of the settings.")]
Url = Annotated[
    str | None, Parameter(help="http://HOST:PORT of a server. Default: none, the local data directory.")
]
Token = Annotated[
    str | None, Parameter(help="Token of the server. Others on this machine can see it: rather --token-file.")
]
TokenFile = Annotated[
    Path | None,
    Parameter(
        help="File with the token, - for standard input. Default: CLOUDFLARE_API_TOKEN, then the development token."
    ),
]
