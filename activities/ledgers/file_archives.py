"""Archived histories on disk: ``<chain>.<run id>.<digest>.history.json.gz`` beside the chain."""

from __future__ import annotations

import os
from pathlib import Path

from activities.ledgers.locked_file import sync_folders
from activities.ledgers.regular_file import check_regular
from coalmine.errors import LedgerError

SUFFIX = ".history.json.gz"


def keep(root: Path, name: str, content: bytes) -> str:
    """Write a file that is there as a whole or not at all; one that is there with this content stays.

    Returns:
        ``name``.

    Raises:
        LedgerError: it could not be written.
    """
    path = root / name
    being_written = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and path.read_bytes() == content:
            return name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with being_written.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            being_written.replace(path)
        finally:
            being_written.unlink(missing_ok=True)
        sync_folders(path, root)
    except OSError as error:
        raise LedgerError(f"ledger {path} cannot be written: {error.strerror or error}") from error
    return name


def content_of(root: Path, name: str) -> bytes | None:
    """What is in such a file; None when it is not there, or its name leads out of the ledger.

    Raises:
        LedgerError: it cannot be read.
    """
    path = root / name
    if ".." in path.parts or Path(name).is_absolute():
        return None
    check_regular(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError(f"ledger {path} cannot be read: {error.strerror or error}") from error
