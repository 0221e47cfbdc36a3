"""The heads of a ledger on disk: ``heads.jsonl`` in its folder, one line per append (``activities.ledgers.heads``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from activities.ledgers import heads
from activities.ledgers.heads import Head, HeadKind
from activities.ledgers.locked_file import locked, read_all, split, sync_folders, write
from activities.ledgers.regular_file import check_regular
from activities.ledgers.sealing import Sealer
from coalmine.errors import LedgerError

NAME = "heads.jsonl"
TAIL = 8 * 1024
"""Bytes read to find the last head; none is longer."""


class HeadsFile:
    """Appends heads under a lock of their own; several chains may be written at once."""

    def __init__(self, root: Path, sealer: Sealer) -> None:
        self._root = root
        self._sealer = sealer
        self.path = root / NAME

    def anchor(self, chain: Path, rollout_id: str, records: int, tip: str) -> None:
        """Say, synced, where a chain ends now.

        Raises:
            OSError: it could not be written.
            LedgerError: others held the lock for too long.
        """
        self._append("head", chain_name(self._root, chain), rollout_id, records, tip)

    def tombstone(self, chain: str, rollout_id: str, records: int, tip: str, *, by: str, last: str) -> None:
        """Say, synced, that a chain is dropped by retention, and by whom; before its file is removed.

        Raises:
            LedgerError: it could not be written.
        """
        try:
            self._append("pruned", chain, rollout_id, records, tip, by=by, last=last)
        except OSError as error:
            raise LedgerError(f"ledger {self.path} cannot be written: {error.strerror or error}") from error

    def lines(self) -> Iterator[bytes]:
        """Every line, with its newline where it has one."""
        check_regular(self.path)
        try:
            with self.path.open("rb") as file:
                yield from file
        except FileNotFoundError:
            return
        except OSError as error:
            raise LedgerError(f"ledger {self.path} cannot be read: {error.strerror or error}") from error

    def _append(
        self, kind: HeadKind, chain: str, rollout_id: str, records: int, tip: str, *, by: str = "", last: str = ""
    ) -> None:
        created = not self.path.exists()
        with locked(self.path) as file:
            number, prev, size = _end_of(file)
            head = Head(
                n=number + 1,
                prev=prev,
                at=heads.now(),
                kind=kind,
                chain=chain,
                rollout_id=rollout_id,
                records=records,
                tip=tip,
                by=by,
                last=last,
            )
            write(file, heads.head_line(head, self._sealer) + b"\n", size)
            os.fsync(file)
        if created:
            sync_folders(self.path, self._root)


def _end_of(file: int) -> tuple[int, str, int]:
    """Number and hash of the last head, and the size of the file; a torn last line is mended or cut off."""
    size = os.fstat(file).st_size
    if not size:
        return 0, heads.GENESIS, 0
    whole, torn = split(os.pread(file, TAIL, max(0, size - TAIL)))
    if torn and heads.head_of(torn) is not None:
        write(file, b"\n", size)
        whole, size = [*whole, torn], size + 1
    elif torn:
        size -= len(torn)
        os.ftruncate(file, size)
    if not size:
        return 0, heads.GENESIS, 0
    last = heads.head_of(whole[-1])
    if last is not None:
        return last.n, heads.hash_of_head(whole[-1]), size
    # Somebody changed the last line: writing goes on, and whoever verifies finds it.
    os.lseek(file, 0, os.SEEK_SET)
    every, _ = split(read_all(file))
    return len(every), heads.hash_of_head(every[-1]), size


def chain_name(root: Path, path: Path) -> str:
    """What a chain's file is called within its ledger."""
    return path.relative_to(root).as_posix().removesuffix(".jsonl")
