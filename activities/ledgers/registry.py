"""Ledgers by kind. What is appended is sealed with the key that this process's environment names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from activities.ledgers.base import LedgerPages, LedgerStore
from activities.ledgers.sealing import sealer_of
from coalmine.errors import UnknownAdapter
from coalmine.spec.ledger import Ledger


def _file(ledger: Ledger) -> LedgerStore:
    from activities.ledgers.file import FileLedger

    return FileLedger(Path(ledger.path), sealer_of(os.environ))


def _file_pages(ledger: Ledger) -> LedgerPages:
    from activities.ledgers.file_pages import FilePages

    return FilePages(Path(ledger.path), sealer_of(os.environ))


def _s3(ledger: Ledger) -> LedgerStore:
    from activities.ledgers.s3 import S3Ledger
    from activities.ledgers.s3_objects import Objects

    return S3Ledger(Objects(ledger), sealer_of(os.environ))


def _s3_pages(ledger: Ledger) -> LedgerPages:
    from activities.ledgers.s3_objects import Objects
    from activities.ledgers.s3_pages import S3Pages

    return S3Pages(Objects(ledger), sealer_of(os.environ))


BUILT_IN: dict[str, Callable[[Ledger], LedgerStore]] = {"file": _file, "s3": _s3}
PAGES: dict[str, Callable[[Ledger], LedgerPages]] = {"file": _file_pages, "s3": _s3_pages}


def open_ledger(ledger: Ledger) -> LedgerStore:
    """The store a spec's ``ledger`` names.

    Raises:
        UnknownAdapter: nobody registered its kind; lists those that are.
    """
    if ledger.kind not in BUILT_IN:
        raise UnknownAdapter(f"ledger kind {ledger.kind!r} is not known; known are {', '.join(sorted(BUILT_IN))}")
    return BUILT_IN[ledger.kind](ledger)


def open_pages(ledger: Ledger) -> LedgerPages:
    """The lines of a ledger, to verify or to prune it.

    Raises:
        UnknownAdapter: nobody registered its kind; lists those that are.
    """
    if ledger.kind not in PAGES:
        raise UnknownAdapter(f"ledger kind {ledger.kind!r} is not known; known are {', '.join(sorted(PAGES))}")
    return PAGES[ledger.kind](ledger)
