"""The activities that keep the ledger, and learn a service's noise from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from temporalio import activity

from activities.beating import beating
from activities.failures import translate_errors
from activities.ledgers.base import LedgerStore
from activities.ledgers.names import book_named, version_of
from activities.ledgers.registry import open_ledger
from coalmine.records import (
    READ_HISTORY,
    WRITE_LEDGER,
    HistoryRequest,
    LedgerEntry,
    LedgerWrite,
    ServiceHistory,
    Written,
)
from coalmine.spec.ledger import Ledger
from coalmine.spec.metrics import Metric

HISTORY_AGE = timedelta(days=30)
"""Older looks say little about how noisy a service is now."""
HISTORY_LOOKS = 5_000
"""Looks that are read at most, the newest first."""


class LedgerActivities:
    """Writing and reading, over the ledgers that specs name."""

    def __init__(self, ledgers: Callable[[Ledger], LedgerStore] = open_ledger) -> None:
        self._ledgers = ledgers
        self._stores: dict[str, LedgerStore] = {}

    @activity.defn(name=WRITE_LEDGER.name)
    async def write_ledger(self, request: LedgerWrite) -> Written:
        """Append what is not there yet.

        Raises:
            ApplicationError: ``LedgerError`` (to be retried), ``UnknownAdapter``.
        """
        with translate_errors():
            book = book_named(request.environment, request.service, request.region)
            async with beating():
                new, tip = await self._store(request.ledger).append_to_tip(book, _tagged(request))
                return Written(written=new, tip=tip)

    @activity.defn(name=READ_HISTORY.name)
    async def read_history(self, request: HistoryRequest) -> ServiceHistory:
        """The noise of a service, from its promoted rollouts of the last 30 days and from stored A/A periods.

        Only those: a rollout that was rolled back shows the fault it had, not the noise of a healthy service.

        Raises:
            ApplicationError: ``LedgerError`` (to be retried), ``LedgerCorrupt``, ``UnknownAdapter``.
        """
        with translate_errors():
            book = book_named(request.environment, request.service, request.region)
            since = request.now - HISTORY_AGE
            async with beating():
                store = self._store(request.ledger)
                promoted = await store.promoted_looks(book, since, HISTORY_LOOKS)
                looks = [*promoted, *await store.split_looks(book, since)]
                return await asyncio.to_thread(_learn, looks, request.metrics)

    def _store(self, ledger: Ledger) -> LedgerStore:
        key = ledger.model_dump_json()
        if key not in self._stores:
            self._stores[key] = self._ledgers(ledger)
        return self._stores[key]


def _tagged(request: LedgerWrite) -> list[LedgerEntry]:
    known = {"service": request.service, "environment": request.environment, "region": request.region}
    shared = {name: value for name, value in known.items() if value}
    return [
        entry.model_copy(update={"tags": {**shared, "version": version_of(entry.rollout_id), **entry.tags}})
        for entry in request.entries
    ]


def _learn(looks: Sequence[LedgerEntry], metrics: Sequence[Metric]) -> ServiceHistory:
    # The package before what lies below it: two threads that begin at its two ends leave it half imported in both.
    import coalmine.analysis  # noqa: F401
    from coalmine.backtest.history import history_of_looks
    from coalmine.backtest.learnt import in_stretches

    return history_of_looks(in_stretches(looks, HISTORY_LOOKS), metrics)
