"""Stored periods of the live version against itself (A/A): one file each, beside the rollouts of its service.

``<path>/<book>/<version>-<label>-<from>.split``, JSON Lines of looks. They are no rollouts, so nothing that lists
rollouts finds them. A file is written whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from pydantic import ValidationError

from coalmine.errors import LedgerCorrupt, LedgerError
from coalmine.records import LedgerEntry

SUFFIX = ".split"
LONGEST_NAME = 160


def store_split(folder: Path, name: str, entries: Sequence[LedgerEntry]) -> Path:
    """Write one period; the same name replaces what was there.

    Args:
        folder: of the book.
        name: version, label and beginning; characters a file name cannot have are encoded.
        entries: its looks, in order of time; at least one.

    Raises:
        LedgerError: it cannot be written, or another stored period covers some of the same time.
    """
    path = folder / f"{_file_name(name)}{SUFFIX}"
    for other in _files(folder):
        looks = _read(other) if other != path else []
        if looks and looks[0].at <= entries[-1].at and entries[0].at <= looks[-1].at:
            raise LedgerError(
                f"{other} holds {looks[0].at.isoformat()} to {looks[-1].at.isoformat()} already: the same time would "
                "count twice; choose another period, or remove the file"
            )
    temporary = folder / f".{uuid4().hex}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write("".join(f"{entry.model_dump_json()}\n" for entry in entries).encode())
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
    looks = [look for path in _files(folder) for look in _read(path) if look.at >= since]
    return sorted(looks, key=lambda look: (look.at, look.rollout_id, look.sequence))


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob(f"*{SUFFIX}"))
    except OSError as error:
        raise LedgerError(f"ledger {folder} cannot be read: {error.strerror or error}") from error


def _read(path: Path) -> list[LedgerEntry]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise LedgerError(f"ledger {path} cannot be read: {error.strerror or error}") from error
    entries: list[LedgerEntry] = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(LedgerEntry.model_validate_json(line))
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise LedgerCorrupt(f"{path}:{number}: not a ledger entry ({what}): mend or remove the file") from None
    return entries


def _file_name(name: str) -> str:
    written = quote(name, safe="._+-~")
    if len(written) <= LONGEST_NAME:
        return written
    return f"{written[:LONGEST_NAME]}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"
