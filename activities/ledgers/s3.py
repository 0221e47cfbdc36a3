"""The ledger in an S3 bucket: one object per append, which only one writer can make (docs/ledger.md).

S3 cannot append, but it can refuse to write an object that is there: the place of a record in its chain is the name of
its object, so two workers never both write it, and nothing that was written is ever written again.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import ValidationError

from activities.ledgers import chain as links
from activities.ledgers.file_chain import key_of
from activities.ledgers.file_reading import promoted_looks
from activities.ledgers.names import chain_of, parts_of
from activities.ledgers.s3_heads import S3Heads
from activities.ledgers.s3_names import (
    CHAINS,
    KEPT,
    book_of_parts,
    chain_of_key,
    folder_of_book,
    folder_of_chain,
    lines_key,
)
from activities.ledgers.s3_objects import Objects
from activities.ledgers.s3_splits import S3Splits
from activities.ledgers.sealing import Sealer
from coalmine.errors import LedgerCorrupt, LedgerError
from coalmine.records import ChainTip, LedgerEntry, LedgerKey, carried_on, unreadable

KEPT_INDEXES = 64
"""Chains whose sequences are remembered."""
TRIES = 20
"""How often another writer of the same chain may be first, before the workflow asks again."""
SKEW = timedelta(minutes=1)
"""How far the bucket's clock may be behind the workflow's: an object is made after its entries."""


@dataclass
class _Index:
    """What a chain holds, as far as it was read."""

    last: str = ""
    """Key of the last object."""
    keys: set[LedgerKey] = field(default_factory=set)
    lines: int = 0
    tip: str = ""
    anchored: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)


class S3Ledger:
    """Safe for any number of workers: writes are conditional."""

    def __init__(self, objects: Objects, sealer: Sealer | None = None) -> None:
        self._objects = objects
        self._heads = S3Heads(objects, sealer or Sealer())
        self._splits = S3Splits(objects)
        self._indexes: OrderedDict[str, _Index] = OrderedDict()
        self._guard = threading.Lock()

    async def append(self, book: str, entries: Sequence[LedgerEntry]) -> int:
        """See ``LedgerStore``."""
        return (await self.append_to_tip(book, entries))[0]

    async def append_to_tip(self, book: str, entries: Sequence[LedgerEntry]) -> tuple[int, ChainTip | None]:
        """See ``LedgerStore``."""
        by_chain: dict[str, list[LedgerEntry]] = {}
        for entry in entries:
            by_chain.setdefault(chain_of(book, entry.rollout_id), []).append(entry)
        done = await asyncio.to_thread(lambda: [self._append(name, part) for name, part in by_chain.items()])
        return sum(new for new, _ in done), done[-1][1] if done else None

    async def keep(self, book: str, rollout_id: str, name: str, content: bytes) -> str:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._keep, f"{chain_of(book, rollout_id)}.{name}", content)

    async def kept(self, file: str) -> bytes | None:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._objects.get, KEPT + file)

    async def read(self, book: str, since: datetime | None = None) -> list[LedgerEntry]:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._read, book, since)

    async def promoted_looks(self, book: str, since: datetime, limit: int) -> list[LedgerEntry]:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._promoted_looks, book, since, limit)

    async def store_split(self, book: str, name: str, entries: Sequence[LedgerEntry]) -> str:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._splits.store, book, name, entries)

    async def split_looks(self, book: str, since: datetime) -> list[LedgerEntry]:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._splits.looks, book, since)

    async def books(self) -> list[str]:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._books)

    async def rollout(self, book: str, rollout_id: str) -> list[LedgerEntry]:
        """See ``LedgerStore``."""
        found = await asyncio.to_thread(self._entries, chain_of(book, rollout_id))
        return sorted((entry for entry in found if entry.rollout_id == rollout_id), key=_in_time)

    async def latest(self, book: str) -> str | None:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._latest, book)

    async def events(self, environment: str, since: datetime) -> list[LedgerEntry]:
        """See ``LedgerStore``."""
        return await asyncio.to_thread(self._events, environment, since)

    # ------------------------------------------------------------------------------------------- writing

    def _append(self, name: str, entries: Sequence[LedgerEntry]) -> tuple[int, ChainTip]:
        index = self._index_of(name)
        with index.guard:
            for _ in range(TRIES):
                if not index.lines:
                    self._catch_up(name, index)
                new = {entry.key: entry for entry in entries}
                for key in index.keys & new.keys():
                    del new[key]
                if new and not self._put(name, index, list(new.values())):
                    # Somebody was first: what they wrote may be the same entries.
                    self._catch_up(name, index)
                    continue
                if index.anchored < index.lines:
                    self._heads.append(name, entries[0].rollout_id, index.lines, index.tip)
                    index.anchored = index.lines
                return len(new), ChainTip(records=index.lines, hash=index.tip)
        raise LedgerError(f"ledger {self._objects.place}{name} has too many writers at once: nothing was written")

    def _put(self, name: str, index: _Index, entries: list[LedgerEntry]) -> bool:
        prev = index.tip or links.genesis(entries[0].rollout_id)
        lines, tip = links.lines_of(entries, index.lines, prev)
        key = lines_key(name, index.lines + 1)
        if not self._objects.put_new(key, lines):
            return False
        index.keys.update(entry.key for entry in entries)
        index.last, index.lines, index.tip = key, index.lines + len(entries), tip
        return True

    def _index_of(self, name: str) -> _Index:
        with self._guard:
            index = self._indexes.setdefault(name, _Index())
            self._indexes.move_to_end(name)
            while len(self._indexes) > KEPT_INDEXES:
                self._indexes.popitem(last=False)
            return index

    def _catch_up(self, name: str, index: _Index) -> None:
        keys = [found.key for found in self._objects.listed(folder_of_chain(name), after=index.last)]
        for key, content in zip(keys, self._objects.get_all(keys), strict=True):
            lines = content.removesuffix(b"\n").split(b"\n")
            index.keys.update(found for line in lines if (found := key_of(line)) is not None)
            index.last, index.lines, index.tip = key, index.lines + len(lines), links.hash_after(lines[-1])

    def _keep(self, file: str, content: bytes) -> str:
        if not self._objects.put_new(KEPT + file, content) and self._objects.get(KEPT + file) != content:
            raise LedgerError(f"ledger {self._objects.place}{KEPT}{file} is there already, with other content")
        return file

    # ------------------------------------------------------------------------------------------- reading

    def _chains(self, book: str) -> dict[str, datetime]:
        """The chains of a book, and when each was written last."""
        parts_of(book)
        return {chain_of_key(found.key): found.at for found in self._objects.listed(folder_of_book(book))}

    def _entries(self, name: str) -> list[LedgerEntry]:
        keys = [found.key for found in self._objects.listed(folder_of_chain(name))]
        found: list[LedgerEntry] = []
        for content in self._objects.get_all(keys):
            for line in content.removesuffix(b"\n").split(b"\n"):
                found.append(self._parsed(line, name, len(found) + 1))
        return found

    def _parsed(self, line: bytes, name: str, number: int) -> LedgerEntry:
        try:
            return LedgerEntry.model_validate_json(line)
        except ValidationError as error:
            place = f"{self._objects.place}{folder_of_chain(name)}:{number}"
            raise LedgerCorrupt(f"{place}: not a ledger entry ({unreadable(error)}): mend or remove the line") from None

    def _read(self, book: str, since: datetime | None) -> list[LedgerEntry]:
        recent = [name for name, at in self._chains(book).items() if since is None or at + SKEW >= since]
        found = [entry for name in recent for entry in self._entries(name) if since is None or entry.at >= since]
        return sorted(found, key=_in_time)

    def _promoted_looks(self, book: str, since: datetime, limit: int) -> list[LedgerEntry]:
        ages = {name: at for name, at in self._chains(book).items() if at + SKEW >= since}
        looks: list[LedgerEntry] = []
        for name in sorted(ages, key=lambda name: ages[name], reverse=True):
            looks += promoted_looks(carried_on(self._entries(name)), since)
            if len(looks) >= limit:
                break
        return sorted(looks, key=_in_time)

    def _books(self) -> list[str]:
        list_folders, found = self._objects.folders, []
        for environment in list_folders(CHAINS):
            for service in list_folders(f"{CHAINS}{environment}/"):
                for region in list_folders(f"{CHAINS}{environment}/{service}/"):
                    found.append(book_of_parts(environment, service, region))
        return sorted(found)

    def _latest(self, book: str) -> str | None:
        ages, newest = self._chains(book), None
        for name in sorted(ages, key=lambda name: ages[name], reverse=True):
            # An object is made after its entries: no chain from here on holds a newer one.
            if newest is not None and ages[name] + SKEW < newest.at:
                break
            entries = [entry for entry in self._entries(name) if entry.kind != "insight"]
            last = max(entries, key=lambda entry: entry.at, default=None)
            if last is not None and (newest is None or last.at > newest.at):
                newest = last
        return newest.rollout_id if newest is not None else None

    def _events(self, environment: str, since: datetime) -> list[LedgerEntry]:
        found: list[LedgerEntry] = []
        for book in self._books():
            if book.partition("/")[0] == environment:
                found += [entry for entry in self._read(book, since) if entry.kind != "look"]
        return sorted(found, key=_in_time)


def _in_time(entry: LedgerEntry) -> tuple[datetime, str, int]:
    return entry.at, entry.rollout_id, entry.sequence
