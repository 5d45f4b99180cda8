"""`outworker token list`."""

from app.cli.adapters import print_columns
from app.server.stores import Stores


def list_tokens(stores: Stores, account: str | None) -> None:
    """One line each, in columns, oldest first. Raises `OperatorError` for an account that there is not."""
    if account is not None:
        stores.check_account(account)
    records = stores.tokens.list(account)
    print_columns(
        (
            record.id,
            record.account_id,
            ",".join(sorted(record.scopes)),
            f"made {record.created_at}",
            f"used {record.last_used_at or 'never'}",
            record.name,
        )
        for record in records
    )
