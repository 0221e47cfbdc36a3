"""What is read in a ledger's folder is a file: opening a pipe waits for a writer for ever."""

from __future__ import annotations

from pathlib import Path

from coalmine.errors import LedgerError


def check_regular(path: Path) -> None:
    """Raise unless it is a regular file, or not there.

    Raises:
        LedgerError: it is something else.
    """
    if path.exists() and not path.is_file():
        raise LedgerError(f"ledger {path} cannot be read: it is no regular file: move away what was put there")
