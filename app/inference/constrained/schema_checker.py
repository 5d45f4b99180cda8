"""Judges schemas and texts by jsonschema-rs, in a child process: a schema can make it compute for ever."""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import orjson

from app.catalog import error_texts
from app.catalog.error_texts import Path
from app.catalog.refusals import refusal
from app.errors import JsonModeUnmet
from app.inference.constrained.worker import Broken, TooSlow
from app.inference.constrained.worker_pool import WorkerPool

MODULE: Final = "app.inference.constrained.schema_worker"
JUDGING_MAX_S: Final = 2.0
MAX_REMEMBERED: Final = 1024


class Schemas:
    """Remembers which schemas are ones; what is not is looked at again, since hardly anybody sends it twice."""

    def __init__(self, *, judging_max_s: float = JUDGING_MAX_S, max_remembered: int = MAX_REMEMBERED) -> None:
        self._judging_max_s = judging_max_s
        self._max_remembered = max_remembered
        self.pool = WorkerPool(MODULE)
        self._good: OrderedDict[bytes, None] = OrderedDict()

    async def admit(self, path: Path, schema: dict[str, Any], account_id: str = "") -> None:
        """Raises BadInput when it is not a JSON schema of its draft, JsonModeUnmet when that can't be found out in
        time.
        """
        key = sha256(orjson.dumps(schema)).digest()
        if key in self._good:
            self._good.move_to_end(key)
            return
        wrong = await self._ask({"schema": schema}, account_id)
        if wrong is not None:
            raise refusal(f"'{error_texts.at(path)}' is not a JSON schema: {wrong}")
        self._good[key] = None
        if len(self._good) > self._max_remembered:
            self._good.popitem(last=False)

    async def fault(self, schema: dict[str, Any], text: str, account_id: str = "") -> str | None:
        """What a JSON text breaks, in a few words, or None. Raises JsonModeUnmet when that takes too long."""
        return await self._ask({"schema": schema, "text": text}, account_id)

    async def stop(self) -> None:
        await self.pool.stop()

    async def _ask(self, job: dict[str, Any], account_id: str) -> str | None:
        try:
            wrong: str | None = (await self.pool.ask(job, self._judging_max_s, account_id))["wrong"]
        except TooSlow:
            raise JsonModeUnmet(
                f"Applying the schema took longer than {self._judging_max_s:g} s: simplify it"
            ) from None
        except Broken:
            raise JsonModeUnmet("Applying the schema failed: simplify it") from None
        return wrong


@dataclass(frozen=True, slots=True)
class AccountSchemas:
    """`schemas` for one account, whose jobs wait in its own queue."""

    schemas: Schemas
    account_id: str

    async def admit(self, path: Path, schema: dict[str, Any]) -> None:
        """See `Schemas.admit`."""
        await self.schemas.admit(path, schema, self.account_id)

    async def fault(self, schema: dict[str, Any], text: str) -> str | None:
        """See `Schemas.fault`."""
        return await self.schemas.fault(schema, text, self.account_id)
