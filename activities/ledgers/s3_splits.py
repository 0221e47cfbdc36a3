"""Stored periods of the live version against itself (A/A) in a bucket: ``splits/<book>/<name>.split``, one object each.

They are no rollouts and in no chain; nobody locks them, for the same name replaces what was there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from activities.ledgers import splits
from activities.ledgers.names import parts_of
from activities.ledgers.s3_names import folder_of_splits
from activities.ledgers.s3_objects import Objects
from coalmine.errors import LedgerError
from coalmine.records import LedgerEntry


class S3Splits:
    """The stored periods of a ledger. Blocks."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def store(self, book: str, name: str, entries: Sequence[LedgerEntry]) -> str:
        """Write one period; see ``LedgerStore.store_split``."""
        key = f"{_folder(book)}{splits.file_name(name)}"
        for other, looks in self._periods(book):
            if other != key:
                splits.refuse_overlap(f"{self._objects.place}{other}", entries, looks)
        if not self._objects.put_over(key, splits.written(entries), self._objects.get_tagged(key)[1]):
            raise LedgerError(f"ledger {self._objects.place}{key} was written by another at the same moment: try again")
        return f"{self._objects.place}{key}"

    def looks(self, book: str, since: datetime) -> list[LedgerEntry]:
        """See ``LedgerStore.split_looks``."""
        return splits.since((looks for _, looks in self._periods(book)), since)

    def _periods(self, book: str) -> Iterator[tuple[str, list[LedgerEntry]]]:
        found = [one.key for one in self._objects.listed(_folder(book))]
        keys = [key for key in found if "/" not in key.removeprefix(_folder(book))]
        for key, content in zip(keys, self._objects.get_all(keys), strict=True):
            yield key, splits.read(f"{self._objects.place}{key}", content)


def _folder(book: str) -> str:
    parts_of(book)
    return folder_of_splits(book)
