"""The ledger as JSON Lines on disk: one file per rollout, ``<path>/<book>/<version>-<n>.jsonl`` (docs/ledger.md).

A file per rollout keeps appends cheap (its sequences are known without reading other rollouts), keeps a rollout
readable as one story, and lets old ones be archived by moving files.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import json
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from pydantic import ValidationError

from activities.ledgers import file_splits
from coalmine.errors import LedgerCorrupt, LedgerError
from coalmine.records import LedgerEntry, Outcome

LOCK_WITHIN = 5.0
"""Seconds to wait for another writer of the same file."""
KEPT_INDEXES = 64
"""Files whose sequences are remembered."""
TAIL = 64 * 1024
"""Bytes read first to learn how a file ends."""
LONGEST_NAME = 120
_LOOK = b'{"kind":"look",'
"""How the line of a look begins as we write it."""
_NUMBER = re.compile(r"[0-9A-Za-z-]+")


@dataclass
class _Index:
    """What a file holds, up to ``size``; valid as long as the file is the same and has not shrunk."""

    inode: int
    size: int = 0
    keys: set[tuple[str, int]] = field(default_factory=set)


class FileLedger:
    """Ledger files under one folder. Safe for several threads and processes on one file system with ``flock``."""

    def __init__(self, path: Path) -> None:
        """``path`` is the folder; a relative one is meant from the working directory of the worker."""
        self._root = path
        self._indexes: OrderedDict[Path, _Index] = OrderedDict()
        self._guard = threading.Lock()

    async def append(self, book: str, entries: Sequence[LedgerEntry]) -> int:
        """See ``LedgerStore``. What is counted as written is on the disk, synced."""
        by_file: dict[Path, list[LedgerEntry]] = {}
        for entry in entries:
            by_file.setdefault(self.file_of(book, entry.rollout_id), []).append(entry)
        return await asyncio.to_thread(lambda: sum(self._append(path, part) for path, part in by_file.items()))

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
        version, slash, number = rollout_id.removeprefix(f"{book}/").rpartition("/")
        if not rollout_id.startswith(f"{book}/") or not slash or "/" in version or not _NUMBER.fullmatch(number):
            raise LedgerError(f"rollout id {rollout_id!r} is not {book}/<version>/<n>: it has no place in this ledger")
        name = quote(version, safe="._+-~")
        if len(name) > LONGEST_NAME:
            name = f"{name[:LONGEST_NAME]}~{hashlib.sha256(version.encode()).hexdigest()[:12]}"
        return self._folder(book) / f"{name}-{number}.jsonl"

    def _folder(self, book: str) -> Path:
        parts = book.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise LedgerError(f"book {book!r} is not <environment>/<service>[/<region>]")
        return self._root.joinpath(*parts)

    # ------------------------------------------------------------------------------------------- writing

    def _append(self, path: Path, entries: Sequence[LedgerEntry]) -> int:
        try:
            created = not path.exists()
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path) as file:
                index = self._index_of(path, file)
                new = {(entry.rollout_id, entry.sequence): entry for entry in entries}
                for key in index.keys & new.keys():
                    del new[key]
                lines = "".join(f"{entry.model_dump_json()}\n" for entry in new.values()).encode()
                _write(file, lines, index.size)
                # Synced even when nothing is new: the attempt that wrote the entries may have died before its sync.
                os.fsync(file)
                index.size += len(lines)
                index.keys.update(new)
            if created:
                for folder in (path.parent, *path.parent.parents):
                    _sync_folder(folder)
                    if folder == self._root:
                        break
        except OSError as error:
            self._forget(path)
            raise LedgerError(f"ledger {path} cannot be written: {error.strerror or error}") from error
        return len(new)

    def _index_of(self, path: Path, file: int) -> _Index:
        """The index of a locked file, brought up to date with what others appended; mends a torn end."""
        status = os.fstat(file)
        with self._guard:
            index = self._indexes.get(path)
            if index is None or index.inode != status.st_ino or index.size > status.st_size:
                index = self._indexes[path] = _Index(inode=status.st_ino)
            self._indexes.move_to_end(path)
            while len(self._indexes) > KEPT_INDEXES:
                self._indexes.popitem(last=False)
        if index.size < status.st_size:
            os.lseek(file, index.size, os.SEEK_SET)
            whole, torn = _split(_read_all(file))
            index.keys.update(key for line in whole if (key := _key(line)) is not None)
            index.size = status.st_size - len(torn)
            if torn:
                self._mend(file, torn, index)
        return index

    def _mend(self, file: int, torn: bytes, index: _Index) -> None:
        """End the last line if it is complete, else cut it off: it was never acknowledged, so it comes again."""
        key = _key(torn)
        if key is None:
            os.ftruncate(file, index.size)
            return
        _write(file, b"\n", index.size + len(torn))
        index.keys.add(key)
        index.size += len(torn) + 1

    def _forget(self, path: Path) -> None:
        with self._guard:
            self._indexes.pop(path, None)

    # ------------------------------------------------------------------------------------------- reading

    def _read(self, book: str, since: datetime | None) -> list[LedgerEntry]:
        found: list[LedgerEntry] = []
        for path in self._files(book):
            if since is None or _newest(path) >= since.timestamp():
                found += [entry for _, entry in _entries(path) if since is None or entry.at >= since]
        return sorted(found, key=lambda entry: (entry.at, entry.rollout_id, entry.sequence))

    def _promoted_looks(self, book: str, since: datetime, limit: int) -> list[LedgerEntry]:
        newest = {path: _newest(path) for path in self._files(book)}
        recent = [path for path in newest if newest[path] >= since.timestamp()]
        looks: list[LedgerEntry] = []
        for path in sorted(recent, key=lambda path: newest[path], reverse=True):
            looks += _looks_if_promoted(path, since)
            if len(looks) >= limit:
                break
        return sorted(looks, key=lambda entry: (entry.at, entry.rollout_id, entry.sequence))

    def _books(self) -> list[str]:
        try:
            return sorted({str(path.parent.relative_to(self._root)) for path in self._root.glob("*/**/*.jsonl")})
        except OSError as error:
            raise LedgerError(f"ledger {self._root} cannot be read: {error.strerror or error}") from error

    def _rollout(self, book: str, rollout_id: str) -> list[LedgerEntry]:
        path = self.file_of(book, rollout_id)
        if not path.exists():
            return []
        found = [entry for _, entry in _entries(path) if entry.rollout_id == rollout_id]
        return sorted(found, key=lambda entry: entry.sequence)

    def _latest(self, book: str) -> str | None:
        last = [max((e for _, e in _entries(path)), key=lambda e: e.at, default=None) for path in self._newest(book)]
        return max((entry for entry in last if entry), key=lambda entry: entry.at).rollout_id if any(last) else None

    def _newest(self, book: str) -> list[Path]:
        """The file that ends last; with those whose end tells no time."""
        ends = {path: _newest(path) for path in self._files(book)}
        known = max((end for end in ends.values() if end != float("inf")), default=None)
        return [path for path, end in ends.items() if end in (known, float("inf"))]

    def _events(self, environment: str, since: datetime) -> list[LedgerEntry]:
        found: list[LedgerEntry] = []
        for book in self._books():
            if book.partition("/")[0] != environment:
                continue
            for path in self._files(book):
                if _newest(path) >= since.timestamp():
                    entries = (entry for _, entry in _entries(path, looks=False))
                    found += [entry for entry in entries if entry.at >= since and entry.kind != "look"]
        return sorted(found, key=lambda entry: (entry.at, entry.rollout_id, entry.sequence))

    def _files(self, book: str) -> list[Path]:
        folder = self._folder(book)
        try:
            return sorted(folder.glob("*.jsonl"))
        except OSError as error:
            raise LedgerError(f"ledger {folder} cannot be read: {error.strerror or error}") from error


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, open for appending, held by us alone."""
    deadline = time.monotonic() + LOCK_WITHIN
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            _lock(file, path, deadline)
            # Somebody may have moved the file away between opening and locking it.
            if path.exists() and path.stat().st_ino == os.fstat(file).st_ino:
                yield file
                return
        finally:
            os.close(file)


def _lock(file: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EINTR):
                raise
        else:
            return
        if time.monotonic() > deadline:
            raise LedgerError(f"ledger {path} has been locked by another process for {LOCK_WITHIN:g} s")
        time.sleep(0.01)


def _write(file: int, content: bytes, size: int) -> None:
    """Append all of ``content``, or leave the file at ``size``."""
    try:
        while content:
            content = content[os.write(file, content) :]
    except OSError:
        os.ftruncate(file, size)
        raise


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file as durable as its content."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_all(file: int) -> bytes:
    parts = []
    while part := os.read(file, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _split(content: bytes) -> tuple[list[bytes], bytes]:
    """Whole lines, and what follows the last newline."""
    *whole, torn = content.split(b"\n")
    return whole, torn


def _key(line: bytes) -> tuple[str, int] | None:
    """Rollout and sequence of a line; None when it is no entry."""
    try:
        data = json.loads(line)
        return str(data["rollout_id"]), int(data["sequence"])
    except (ValueError, KeyError, TypeError):
        return None


def _entries(path: Path, *, looks: bool = True) -> Iterator[tuple[int, LedgerEntry]]:
    """Every entry with its line number, from 1; without looks where they are not wanted, most of them unread."""
    try:
        whole, torn = _split(path.read_bytes())
    except OSError as error:
        raise LedgerError(f"ledger {path} cannot be read: {error.strerror or error}") from error
    for number, line in enumerate(whole, 1):
        if looks or not line.startswith(_LOOK):
            yield number, _parse(line, path, number)
    if torn and _key(torn) is not None:
        yield len(whole) + 1, _parse(torn, path, len(whole) + 1)


def _parse(line: bytes, path: Path, number: int) -> LedgerEntry:
    try:
        return LedgerEntry.model_validate_json(line)
    except ValidationError as error:
        what = error.errors()[0]["msg"]
        raise LedgerCorrupt(f"{path}:{number}: not a ledger entry ({what}): mend or remove the line") from None


def _newest(path: Path) -> float:
    """When the last entry was made, in epoch seconds; read from the end of the file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            lines = file.read().split(b"\n")
    except OSError as error:
        raise LedgerError(f"ledger {path} cannot be read: {error.strerror or error}") from error
    for line in reversed(lines[1:] if size > TAIL else lines):
        try:
            return datetime.fromisoformat(json.loads(line)["at"]).timestamp()
        except (ValueError, KeyError, TypeError):
            continue
    # The last entry alone is longer than the tail, or there is none: let the reader look at all of it.
    return float("inf")


def _looks_if_promoted(path: Path, since: datetime) -> list[LedgerEntry]:
    looks: list[LedgerEntry] = []
    promoted = False
    for _, entry in _entries(path):
        if entry.kind == "look" and entry.at >= since:
            looks.append(entry)
        elif entry.kind == "closed":
            promoted = entry.data.get("outcome") == Outcome.PROMOTED
    return looks if promoted else []
