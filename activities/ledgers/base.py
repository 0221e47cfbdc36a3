"""The ledger contract: an append-only copy of the record, idempotent by ``LedgerEntry.key``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from coalmine.records import ChainTip, LedgerEntry


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

    async def append_to_tip(self, book: str, entries: Sequence[LedgerEntry]) -> tuple[int, ChainTip | None]:
        """As ``append``; says also where the chain of the last entry's rollout ends now.

        Raises:
            LedgerError: nothing of this call may be relied on; call again.
        """
        ...

    async def keep(self, book: str, rollout_id: str, name: str, content: bytes) -> str:
        """Keep a file beside a rollout's chain, whole or not at all; the same content again changes nothing.

        Returns:
            What it is called within the ledger: the chain's name, a dot, ``name``.

        Raises:
            LedgerError: nothing of this call may be relied on; call again.
        """
        ...

    async def kept(self, file: str) -> bytes | None:
        """The content of a file that ``keep`` named; None when it is not there.

        Raises:
            LedgerError: it cannot be read now.
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
        """The entries of one rollout in order of time, without reading other rollouts; empty when there are none.

        Raises:
            LedgerError, LedgerCorrupt: as ``read``.
        """
        ...

    async def latest(self, book: str) -> str | None:
        """The id of the rollout whose last entry is the newest of the book; what people wrote later does not count.

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


class LedgerPages(Protocol):
    """A ledger as it is kept, line by line: what is verified, exported and dropped. Blocks; meant for a thread.

    A chain is named ``<book>/<version>-<n>``. Lines come with their newline, where they have one.
    """

    place: str
    """Where the ledger is, for people."""

    def chains(self) -> list[str]:
        """Every chain that is there, sorted.

        Raises:
            LedgerError: the ledger cannot be read now.
        """
        ...

    def strays(self) -> list[tuple[str, str]]:
        """What is named like a chain and can be none, sorted: where it is, and why. It is never read.

        Raises:
            LedgerError: the ledger cannot be read now.
        """
        ...

    def lines(self, chain: str) -> Iterator[bytes]:
        """The lines of one chain.

        Raises:
            LedgerError: it cannot be read now.
        """
        ...

    def kept(self) -> list[str]:
        """Every file beside the chains, by its name within the ledger.

        Raises:
            LedgerError: the ledger cannot be read now.
        """
        ...

    def content(self, file: str) -> bytes | None:
        """The content of a file beside a chain; None when it is not there.

        Raises:
            LedgerError: it cannot be read now.
        """
        ...

    def heads(self) -> Iterator[bytes]:
        """The lines that say how far each chain reaches.

        Raises:
            LedgerError: they cannot be read now.
        """
        ...

    def bury(self, chain: str, rollout_id: str, tip: ChainTip, *, by: str, last: str) -> None:
        """Write a tombstone among the heads: the chain is dropped on purpose, at this tip, by somebody.

        Args:
            chain: its name.
            rollout_id: of its rollout.
            tip: where it ends.
            by: who drops it.
            last: when its last record was made.

        Raises:
            LedgerError: it could not be written; nothing may be dropped.
        """
        ...

    def drop(self, chain: str, kept: Sequence[str]) -> None:
        """Remove a chain that was buried, with the files beside it.

        Raises:
            LedgerError: something is left; drop it again.
        """
        ...

    def still(self, chain: str) -> AbstractContextManager[None]:
        """Keep writers of this chain out while the block reads it and the heads, where that can be done."""
        ...

    def where(self, chain: str) -> str:
        """What a person has to open to see the chain."""
        ...

    def where_kept(self, file: str) -> str:
        """What a person has to open to see a file beside a chain."""
        ...

    @property
    def heads_at(self) -> str:
        """What a person has to open to see the heads."""
        ...
