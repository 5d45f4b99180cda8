"""`outworker page`: a link that signs a browser in."""

from app.accounts.page_codes import page_link
from app.cli.remote import running_url
from app.errors import OperatorError
from app.server.stores import Stores


def print_page_link(stores: Stores) -> None:
    """Print the page's address with a new one-time code. Raises `OperatorError` where the settings serve no page."""
    server = stores.settings.server
    if not server.playground:
        raise OperatorError("server.playground is false, so this server has no page: set it to true")
    print(page_link(running_url(stores.settings), stores.page_codes.make()))
