"""Files that several processes append to: locked, written whole or not at all, synced with their folder."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from activities.lock_holder import MEND, lock_holder
from coalmine.errors import LedgerError

LOCK_WITHIN = 5.0
"""Seconds to wait for another writer of the same file."""


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """The file, open for appending, held by us alone; made when it is not there."""
    deadline = time.monotonic() + LOCK_WITHIN
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            _lock(file, path, deadline, fcntl.LOCK_EX)
            # Somebody may have moved the file away between opening and locking it.
            if path.exists() and path.stat().st_ino == os.fstat(file).st_ino:
                yield file
                return
        finally:
            os.close(file)


@contextmanager
def still(path: Path) -> Iterator[None]:
    """Keep writers of a file out while it is read; of a file that is not there, nothing."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        _lock(file, path, time.monotonic() + LOCK_WITHIN, fcntl.LOCK_SH)
        yield
    finally:
        os.close(file)


def _lock(file: int, path: Path, deadline: float, how: int) -> None:
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EINTR):
                raise
        else:
            return
        if time.monotonic() > deadline:
            raise LedgerError(f"ledger {path}: {lock_holder(file)} has held its lock for {LOCK_WITHIN:g} s: {MEND}")
        time.sleep(0.01)


def write(file: int, content: bytes, size: int) -> None:
    """Append all of ``content``, or leave the file at ``size``."""
    try:
        while content:
            content = content[os.write(file, content) :]
    except OSError:
        os.ftruncate(file, size)
        raise


def sync_folders(path: Path, root: Path) -> None:
    """Make the name of a new file as durable as its content, up to ``root``."""
    for folder in (path.parent, *path.parent.parents):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if folder == root:
            return


def read_all(file: int) -> bytes:
    """What is left of an open file."""
    parts = []
    while part := os.read(file, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def split(content: bytes) -> tuple[list[bytes], bytes]:
    """Whole lines, and what follows the last newline."""
    *whole, torn = content.split(b"\n")
    return whole, torn
