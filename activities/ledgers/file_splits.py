"""Stored periods of the live version against itself (A/A): one file each, beside the rollouts of its service.

``<path>/<book>/<version>-<label>-<from>.split``, JSON Lines of looks. They are no rollouts, so nothing that lists
rollouts finds them. A file is written whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from activities.ledgers import splits
from coalmine.errors import LedgerError
from coalmine.records import LedgerEntry


def store_split(folder: Path, name: str, entries: Sequence[LedgerEntry]) -> Path:
    """Write one period; the same name replaces what was there.

    Args:
        folder: of the book.
        name: version, label and beginning.
        entries: its looks, in order of time; at least one.

    Raises:
        LedgerError: it cannot be written, or another stored period covers some of the same time.
    """
    path = folder / splits.file_name(name)
    for other in _files(folder):
        if other != path:
            splits.refuse_overlap(str(other), entries, _read(other))
    temporary = folder / f".{uuid4().hex}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(splits.written(entries))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise LedgerError(f"ledger {path} cannot be written: {error.strerror or error}") from error
    return path


def split_looks(folder: Path, since: datetime) -> list[LedgerEntry]:
    """The looks of all stored periods at or after ``since``, in order of time.

    Raises:
        LedgerError, LedgerCorrupt: a file cannot be read.
    """
    return splits.since((_read(path) for path in _files(folder)), since)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.glob(f"*{splits.SUFFIX}") if path.is_file())
    except OSError as error:
        raise LedgerError(f"ledger {folder} cannot be read: {error.strerror or error}") from error


def _read(path: Path) -> list[LedgerEntry]:
    try:
        return splits.read(str(path), path.read_bytes())
    except OSError as error:
        raise LedgerError(f"ledger {path} cannot be read: {error.strerror or error}") from error
