"""What the server does for drafts by itself: finish what a killed server left, drop what nobody finished."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from app.adapters.finetune import Draft
from app.adapters.inspection.base_model import BaseShape
from app.adapters.lifecycle import Finetunes
from app.errors import OperatorError

TEND_INTERVAL_S = 3_600

log = logging.getLogger(__name__)

Bases = Mapping[str, Callable[[], BaseShape]]


async def maintain(finetunes: Finetunes, bases: Bases) -> None:
    """At once and then every hour, until it is cancelled."""
    while True:
        await asyncio.to_thread(tend_once, finetunes, bases)
        await asyncio.sleep(TEND_INTERVAL_S)


def tend_once(finetunes: Finetunes, bases: Bases) -> None:
    """Check complete drafts of served weights, whose check never ended, and drop drafts that are a day old."""
    try:
        for draft in finetunes.undecided():
            if draft.weights in bases:
                _finish(finetunes, draft, bases[draft.weights]())
        finetunes.drop_expired()
    except OperatorError as error:
        log.warning("drafts of adapters were not looked after: %s", error)


def _finish(finetunes: Finetunes, draft: Draft, base: BaseShape) -> None:
    try:
        finetunes.finish(draft, base)
    except OperatorError as error:
        log.info("draft %s of account %s: %s", draft.id, draft.account_id, error)
