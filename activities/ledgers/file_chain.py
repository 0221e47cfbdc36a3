"""Appending to the chains of a folder: each entry once, in one chain per file, anchored by a head."""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from activities.ledgers import chain
from activities.ledgers.file_heads import HeadsFile
from activities.ledgers.locked_file import locked, read_all, split, sync_folders, write
from coalmine.errors import LedgerError
from coalmine.records import ChainTip, LedgerEntry, LedgerKey, moment_of

KEPT_INDEXES = 64
"""Files whose sequences are remembered."""


@dataclass
class _Index:
    """What a file holds, up to ``size``; valid as long as the file is the same and has not shrunk."""

    inode: int
    size: int = 0
    keys: set[LedgerKey] = field(default_factory=set)
    lines: int = 0
    tip: str = ""
    """What the next line follows from; empty for a file without lines."""
    anchored: int = 0
    """Lines that a head of ours covers."""


class ChainFiles:
    """The writing half of ``FileLedger``."""

    def __init__(self, root: Path, heads: HeadsFile) -> None:
        self._root = root
        self._heads = heads
        self._indexes: OrderedDict[Path, _Index] = OrderedDict()
        self._guard = threading.Lock()

    def append(self, path: Path, entries: Sequence[LedgerEntry]) -> tuple[int, ChainTip]:
        """Append what is not there yet to one file, sync it, and anchor it.

        Returns:
            How many were new, and where the chain ends now.

        Raises:
            LedgerError: nothing of this call may be relied on.
        """
        try:
            created = not path.exists()
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path) as file:
                index = self._index_of(path, file)
                new = {entry.key: entry for entry in entries}
                for key in index.keys & new.keys():
                    del new[key]
                prev = index.tip or chain.genesis(entries[0].rollout_id)
                lines, tip = chain.lines_of(list(new.values()), index.lines, prev)
                write(file, lines, index.size)
                # Synced even when nothing is new: the attempt that wrote the entries may have died before its sync.
                os.fsync(file)
                index.size += len(lines)
                index.keys.update(new)
                index.lines, index.tip = index.lines + len(new), tip
                if created:
                    sync_folders(path, self._root)
                if index.anchored < index.lines:
                    # Within the lock of the chain: its heads come in the order of its lines.
                    self._heads.anchor(path, entries[0].rollout_id, index.lines, index.tip)
                    index.anchored = index.lines
                return len(new), ChainTip(records=index.lines, hash=index.tip)
        except OSError as error:
            self._forget(path)
            raise LedgerError(f"ledger {path} cannot be written: {error.strerror or error}") from error

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
            whole, torn = split(read_all(file))
            index.keys.update(key for line in whole if (key := key_of(line)) is not None)
            index.lines += len(whole)
            if whole:
                index.tip = chain.hash_after(whole[-1])
            index.size = status.st_size - len(torn)
            if torn:
                self._mend(file, torn, index)
        return index

    def _mend(self, file: int, torn: bytes, index: _Index) -> None:
        """End the last line if it is complete, else cut it off: it was never acknowledged, so it comes again."""
        key = key_of(torn)
        if key is None:
            os.ftruncate(file, index.size)
            return
        write(file, b"\n", index.size + len(torn))
        index.keys.add(key)
        index.size += len(torn) + 1
        index.lines, index.tip = index.lines + 1, chain.hash_after(torn)

    def _forget(self, path: Path) -> None:
        with self._guard:
            self._indexes.pop(path, None)


def key_of(line: bytes) -> LedgerKey | None:
    """The key of a line; None when it is no entry."""
    try:
        data = json.loads(line)
        return str(data["rollout_id"]), int(data["sequence"]), moment_of(data["at"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
