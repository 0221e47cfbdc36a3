"""The ledger contract: an append-only copy of the record, idempotent by (rollout id, sequence)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from coalmine.records import LedgerEntry


class LedgerStore(Protocol):
    """One place entries are kept."""

    async def append(self, book: str, entries: Sequence[LedgerEntry]) -> int:
        """Append the entries that are not there yet to ``book`` (``<environment>/<service>[/<region>]``).

        Returns:
            How many were new.

        Raises:
            LedgerError: nothing of this call may be relied on; call again.
        """
        ...

    async def read(self, book: str, since: datetime | None = None) -> list[LedgerEntry]:
        """All entries of ``book`` at or after ``since``, in order of time; a torn last line is left out.

        Raises:
            LedgerError: the ledger cannot be read now.
            LedgerCorrupt: a line that is not the last is no entry.
        """
        ...

    async def promoted_looks(self, book: str, since: datetime, limit: int) -> list[LedgerEntry]:
        """The looks at or after ``since`` of rollouts that closed as promoted, in order of time.

        Whole rollouts, the newest first, until ``limit`` looks are reached: what is held in memory stays bounded
        however long the ledger grows.

        Raises:
            LedgerError, LedgerCorrupt: as ``read``.
        """
        ...

    async def store_split(self, book: str, name: str, entries: Sequence[LedgerEntry]) -> str:
        """Keep a period of the live version split against itself (A/A); the same ``name`` replaces what was there.

        Returns:
            Where it is kept.

        Raises:
            LedgerError: it cannot be written, or another stored period covers some of the same time.
        """
        ...

    async def split_looks(self, book: str, since: datetime) -> list[LedgerEntry]:
        """The looks at or after ``since`` of stored periods, in order of time; never among those of rollouts.

        Raises:
            LedgerError, LedgerCorrupt: as ``read``.
        """
        ...

    async def books(self) -> list[str]:
        """Every book that holds a rollout, sorted.

        Raises:
            LedgerError: the ledger cannot be read now.
        """
        ...

    async def rollout(self, book: str, rollout_id: str) -> list[LedgerEntry]:
        """The entries of one rollout in order of sequence, without reading other rollouts; empty when there are none.

        Raises:
            LedgerError, LedgerCorrupt: as ``read``.
        """
        ...

    async def latest(self, book: str) -> str | None:
        """The id of the rollout whose last entry is the newest of the book.

        Raises:
            LedgerError, LedgerCorrupt: as ``read``.
        """
        ...

    async def events(self, environment: str, since: datetime) -> list[LedgerEntry]:
        """All entries but looks, of every book of an environment, at or after ``since``, in order of time.

        Raises:
            LedgerError, LedgerCorrupt: as ``read``.
        """
        ...
