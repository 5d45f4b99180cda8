"""What a person reads at the start: where the page is, the token, a line to paste, and who else can reach it."""

from collections.abc import Sequence
from ipaddress import ip_address

import psutil

from app.accounts.development import TOKEN_FILE
from app.catalog.cards import STAND_IN_NOTE
from app.data_dir.server_address import ANY_HOSTS, ServerAddress, is_loopback
from app.program import program
from app.settings import Settings
from app.settings.values import STAND_IN

ADDRESSES_MAX = 3


def banner(settings: Settings, port: int, *, new_token: str | None, page: str | None, seconds: float) -> str:
    """Return several lines. The token is shown only when it was made just now; the curl line reads it from its file.

    `page` is the playground's address with a one-time code, None where no page is served. All else is `doctor`'s.
    """
    server, model = settings.server, settings.models[0]
    url = ServerAddress(server.host, port).url
    token_file = server.data_dir / TOKEN_FILE
    lines = [
        f"ready on {url} after {seconds:.1f} s",
        "",
        *([f"  page   {page} (signs you in once; later: {program()} page)"] if page else []),
        f"  token  {new_token or 'unchanged'} (kept in {token_file})",
        *([f"  model  {STAND_IN_NOTE}"] if model.weights == STAND_IN else []),
        "",
        f"curl -N {url}/client/v4/accounts/{settings.account_id}/ai/run/{model.name} \\",
        f'  -H "Authorization: Bearer $(cat {token_file})" \\',
        '  -d \'{"prompt": "What is Outworker?", "stream": true}\'',
    ]
    return "\n".join(lines)


def for_others(settings: Settings, port: int, addresses: Sequence[str]) -> str | None:
    """What other machines call, and what to set before they are answered; None where only this machine can call.

    `addresses` are this machine's in its networks.
    """
    server = settings.server
    if server.host not in ANY_HOSTS:
        return (
            None
            if is_loopback(server.host)
            else f"other machines reach it at http://{_in_url(server.host)}:{port}"
        )
    if not addresses:
        return None
    places = " or ".join(f"http://{_in_url(address)}:{port}" for address in addresses)
    allowed = {*server.allowed_hosts}
    if "*" in allowed or allowed & {*addresses}:
        return f"other machines reach it at {places}"
    return (
        f"other machines reach it at {places}, but it answers them under no name yet: add it, "
        f"ALLOWED_HOSTS={addresses[0]} HOST={server.host} make serve (or server.allowed_hosts in the settings)"
    )


def lan_addresses() -> list[str]:
    """This machine's addresses of version 4 in its networks, of interfaces that are up."""
    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    found = (
        entry.address for name, entries in psutil.net_if_addrs().items() if name in up for entry in entries
    )
    return [address for address in found if _is_in_a_network(address)][:ADDRESSES_MAX]


def _is_in_a_network(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:  # of hardware, or of version 6 with its interface
        return False
    return parsed.version == 4 and not (parsed.is_loopback or parsed.is_link_local)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
