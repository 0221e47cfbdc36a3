"""Ledgers by kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from activities.ledgers.base import LedgerStore
from coalmine.errors import UnknownAdapter
from coalmine.spec.canary import Ledger


def _file(ledger: Ledger) -> LedgerStore:
    from activities.ledgers.file import FileLedger

    return FileLedger(Path(ledger.path))


BUILT_IN: dict[str, Callable[[Ledger], LedgerStore]] = {"file": _file}


def open_ledger(ledger: Ledger) -> LedgerStore:
    """The store a spec's ``ledger`` names.

    Raises:
        UnknownAdapter: nobody registered its kind; lists those that are.
    """
    if ledger.kind not in BUILT_IN:
        raise UnknownAdapter(f"ledger kind {ledger.kind!r} is not known; known are {', '.join(sorted(BUILT_IN))}")
    return BUILT_IN[ledger.kind](ledger)
