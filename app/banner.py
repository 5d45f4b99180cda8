"""What a person reads when the server is ready: where, who, what, and a line to paste."""

from collections.abc import Iterable

from app.accounts.development import TOKEN_FILE
from app.catalog.served import STAND_IN, STAND_IN_NOTE
from app.engines.choices import Choice, lines_of
from app.settings import Settings


def banner(
    settings: Settings,
    port: int,
    *,
    new_token: str | None,
    page: str | None,
    seconds: float,
    choices: Iterable[Choice] = (),
) -> str:
    """Return several lines. The token is shown only when it was made just now; the curl line reads it from its file.

    `page` is the playground's address with a one-time code, None where no page is served.
    """
    server, model = settings.server, settings.models[0]
    url = server.own_url(port)
    token_file = server.data_dir / TOKEN_FILE
    weights = f"{model.weights} ({STAND_IN_NOTE})" if model.weights == STAND_IN else model.weights
    chosen = [f"  {line}" for line in lines_of(choices)]
    lines = [
        f"ready on {url} after {seconds:.1f} s",
        "",
        f"  account  {settings.account_id}",
        f"  token    {new_token or 'unchanged'} (kept in {token_file})",
        *([f"  page     {page} (signs you in once; later: outworker page)"] if page else []),
        *(f"  model    {entry.name}" for entry in settings.models),
        f"  engine   {model.engine}",
        f"  weights  {weights}",
        *(["", "  chosen for this machine:"] if chosen else []),
        *chosen,
        "",
        f"curl -N {url}/client/v4/accounts/{settings.account_id}/ai/run/{model.name} \\",
        f'  -H "Authorization: Bearer $(cat {token_file})" \\',
        '  -d \'{"prompt": "What is Outworker?", "stream": true}\'',
    ]
    return "\n".join(lines)
