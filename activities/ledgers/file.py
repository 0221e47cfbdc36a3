"""The ledger as JSON Lines on disk: one file per rollout, ``<path>/<book>/<version>-<n>.jsonl`` (docs/ledger.md).

A file per rollout keeps appends cheap (its sequences are known without reading other rollouts), keeps a rollout
readable as one story, and is one hash chain; ``heads.jsonl`` says how far each of them reaches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from activities.ledgers import file_splits
from activities.ledgers.file_archives import content_of, keep
from activities.ledgers.file_chain import ChainFiles
from activities.ledgers.file_heads import HeadsFile
from activities.ledgers.file_reading import entries_of, looks_if_promoted, newest
from activities.ledgers.names import chain_of, parts_of
from activities.ledgers.sealing import Sealer
from coalmine.errors import LedgerError
from coalmine.records import ChainTip, LedgerEntry


class FileLedger:
    """Ledger files under one folder. Safe for several threads and processes on one file system with ``flock``."""

    def __init__(self, path: Path, sealer: Sealer | None = None) -> None:
        """``path`` is the folder; a relative one is meant from the working directory of the worker."""
        self._root = path
        self._files = ChainFiles(path, HeadsFile(path, sealer or Sealer()))

    async def append(self, book: str, entries: Sequence[LedgerEntry]) -> int:
        """See ``LedgerStore``. What is counted as written is on the disk, synced."""
        return sum([new for new, _ in await self._append(book, entries)])

    async def append_to_tip(self, book: str, entries: Sequence[LedgerEntry]) -> tuple[int, ChainTip | None]:
        """See ``LedgerStore``."""
        done = await self._append(book, entries)
        return sum(new for new, _ in done), done[-1][1] if done else None

    async def _append(self, book: str, entries: Sequence[LedgerEntry]) -> list[tuple[int, ChainTip]]:
        by_file: dict[Path, list[LedgerEntry]] = {}
        for entry in entries:
            by_file.setdefault(self.file_of(book, entry.rollout_id), []).append(entry)
        return await asyncio.to_thread(lambda: [self._files.append(path, part) for path, part in by_file.items()])

    async def keep(self, book: str, rollout_id: str, name: str, content: bytes) -> str:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(keep, self._root, f"{chain_of(book, rollout_id)}.{name}", content)

    async def kept(self, file: str) -> bytes | None:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(content_of, self._root, file)

    async def read(self, book: str, since: datetime | None = None) -> list[LedgerEntry]:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._read, book, since)

    async def promoted_looks(self, book: str, since: datetime, limit: int) -> list[LedgerEntry]:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._promoted_looks, book, since, limit)

    async def store_split(self, book: str, name: str, entries: Sequence[LedgerEntry]) -> str:
        """See ``LedgerStore``."""
        return str(await asyncio.to_thread(file_splits.store_split, self._folder(book), name, entries))

    async def split_looks(self, book: str, since: datetime) -> list[LedgerEntry]:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(file_splits.split_looks, self._folder(book), since)

    async def books(self) -> list[str]:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._books)

    async def rollout(self, book: str, rollout_id: str) -> list[LedgerEntry]:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._rollout, book, rollout_id)

    async def latest(self, book: str) -> str | None:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._latest, book)

    async def events(self, environment: str, since: datetime) -> list[LedgerEntry]:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._events, environment, since)

    def file_of(self, book: str, rollout_id: str) -> Path:
        """The file of one rollout.

        Raises:
            LedgerError: the rollout is not of this book.
        """
        return self._root / f"{chain_of(book, rollout_id)}.jsonl"

    def _folder(self, book: str) -> Path:
        return self._root.joinpath(*parts_of(book))

    # ------------------------------------------------------------------------------------------- reading

    def _read(self, book: str, since: datetime | None) -> list[LedgerEntry]:
        found: list[LedgerEntry] = []
        for path in self._paths(book):
            if since is None or newest(path) >= since.timestamp():
                found += [entry for _, entry in entries_of(path) if since is None or entry.at >= since]
        return sorted(found, key=lambda entry: (entry.at, entry.rollout_id, entry.sequence))

    def _promoted_looks(self, book: str, since: datetime, limit: int) -> list[LedgerEntry]:
        ages = {path: newest(path) for path in self._paths(book)}
        recent = [path for path in ages if ages[path] >= since.timestamp()]
        looks: list[LedgerEntry] = []
        for path in sorted(recent, key=lambda path: ages[path], reverse=True):
            looks += looks_if_promoted(path, since)
            if len(looks) >= limit:
                break
        return sorted(looks, key=lambda entry: (entry.at, entry.rollout_id, entry.sequence))

    def _books(self) -> list[str]:
        try:
            chains = (path for path in self._root.glob("*/**/*.jsonl") if path.is_file())
            return sorted({str(path.parent.relative_to(self._root)) for path in chains})
        except OSError as error:
            raise LedgerError(f"ledger {self._root} cannot be read: {error.strerror or error}") from error

    def _rollout(self, book: str, rollout_id: str) -> list[LedgerEntry]:
        path = self.file_of(book, rollout_id)
        if not path.exists():
            return []
        found = [entry for _, entry in entries_of(path) if entry.rollout_id == rollout_id]
        return sorted(found, key=lambda entry: (entry.at, entry.sequence))

    def _latest(self, book: str) -> str | None:
        last = [
            max((e for _, e in entries_of(path) if e.kind != "insight"), key=lambda e: e.at, default=None)
            for path in self._newest(book)
        ]
        return max((entry for entry in last if entry), key=lambda entry: entry.at).rollout_id if any(last) else None

    def _newest(self, book: str) -> list[Path]:
        """The file that ends last; with those whose end tells no time."""
        ends = {path: newest(path) for path in self._paths(book)}
        known = max((end for end in ends.values() if end != float("inf")), default=None)
        return [path for path, end in ends.items() if end in (known, float("inf"))]

    def _events(self, environment: str, since: datetime) -> list[LedgerEntry]:
        found: list[LedgerEntry] = []
        for book in self._books():
            if book.partition("/")[0] != environment:
                continue
            for path in self._paths(book):
                if newest(path) >= since.timestamp():
                    entries = (entry for _, entry in entries_of(path, looks=False))
                    found += [entry for entry in entries if entry.at >= since and entry.kind != "look"]
        return sorted(found, key=lambda entry: (entry.at, entry.rollout_id, entry.sequence))

    def _paths(self, book: str) -> list[Path]:
        folder = self._folder(book)
        try:
            # A pipe would hang whoever reads it; verifying names it.
            return sorted(path for path in folder.glob("*.jsonl") if path.is_file())
        except OSError as error:
            raise LedgerError(f"ledger {folder} cannot be read: {error.strerror or error}") from error
