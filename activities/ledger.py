"""The activities that keep the ledger, and learn a service's noise from it."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity

from activities.failures import translate_errors
from activities.ledgers.base import LedgerStore
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
from coalmine.spec.canary import Ledger

HISTORY_AGE = timedelta(days=30)
"""Older looks say little about how noisy a service is now."""
HISTORY_LOOKS = 5_000
"""Looks that are read at most, the newest first."""


class LedgerActivities:
    """Writing and reading, over the ledgers that specs name."""

    def __init__(self) -> None:
        self._stores: dict[str, LedgerStore] = {}

    @activity.defn(name=WRITE_LEDGER.name)
    async def write_ledger(self, request: LedgerWrite) -> Written:
        """Append what is not there yet.

        Raises:
            ApplicationError: ``LedgerError`` (to be retried), ``UnknownAdapter``.
        """
        with translate_errors():
            book = _book(request.environment, request.service, request.region)
            return Written(written=await self._store(request.ledger).append(book, request.entries))

    @activity.defn(name=READ_HISTORY.name)
    async def read_history(self, request: HistoryRequest) -> ServiceHistory:
        """The noise of a service, from the looks of its promoted rollouts of the last 30 days.

        Only those: a rollout that was rolled back shows the fault it had, not the noise of a healthy service.

        Raises:
            ApplicationError: ``LedgerError`` (to be retried), ``LedgerCorrupt``, ``UnknownAdapter``.
        """
        with translate_errors():
            book = _book(request.environment, request.service, request.region)
            since = request.now - HISTORY_AGE
            looks = await self._store(request.ledger).promoted_looks(book, since, HISTORY_LOOKS)
        return await _summarise(looks, request)

    def _store(self, ledger: Ledger) -> LedgerStore:
        key = ledger.model_dump_json()
        if key not in self._stores:
            self._stores[key] = open_ledger(ledger)
        return self._stores[key]


def _book(environment: str, service: str, region: str | None) -> str:
    return "/".join(part for part in (environment, service, region) if part)


async def _summarise(looks: list[LedgerEntry], request: HistoryRequest) -> ServiceHistory:
    raise NotImplementedError
