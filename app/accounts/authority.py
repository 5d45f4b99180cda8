"""Who is calling: the token lookup of the server's hot path."""

from app.accounts.token_uses import TokenUses
from app.accounts.tokens import TokenStore, token_sha256
from app.concurrency import Clock, TtlCache
from app.types import Caller

AUTHORITY_TTL_S = 0.5
AUTHORITY_MAX_ENTRIES = 10_000


class TokenCache:
    """Answers from memory for `ttl_s` seconds, so a token revoked by another process stops working within 1
    s.

    Keeps sha256 sums, never token texts. `clock` gives monotonic seconds; `uses` hears of each token that is let in.
    """

    def __init__(
        self,
        store: TokenStore,
        clock: Clock,
        uses: TokenUses | None = None,
        ttl_s: float = AUTHORITY_TTL_S,
        max_entries: int = AUTHORITY_MAX_ENTRIES,
    ) -> None:
        self._uses = uses
        self._cache = TtlCache(store.find_sha256, clock, ttl_s, max_entries)

    async def caller(self, token: str) -> Caller | None:
        """Whom `token` serves; None when it is malformed, unknown or revoked."""
        key = token_sha256(token)
        if key is None:
            return None
        caller = self._cache.kept(key) or await self._cache.get(key)
        if caller is not None and self._uses is not None:
            self._uses.note(key)
        return caller
