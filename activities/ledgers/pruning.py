"""Retention: whole chains go, with their histories, and a tombstone among the heads says so.

A chain that is not as it was written is never dropped: that would destroy the evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from activities.ledgers.base import LedgerPages
from activities.ledgers.chain_reading import ChainReport, Fault
from activities.ledgers.file_archives import SUFFIX
from activities.ledgers.sealing import SealReader
from activities.ledgers.stated import Stated
from activities.ledgers.verification import Verification, verify
from coalmine.errors import LedgerCorrupt
from coalmine.records import ChainTip, LedgerEntry

_HALF_GONE = frozenset({"head", "missing"})
"""Faults of a chain whose prune was interrupted: it is still there, and what was beside it may be gone."""
_CLOSED = b'{"kind":"closed",'


@dataclass(frozen=True)
class Old:
    """A chain that retention drops, or would."""

    chain: str
    rollout_id: str
    last: datetime
    """When its last record was made."""
    tip: ChainTip
    kept: tuple[str, ...]
    """Files beside it."""
    closed: bool
    """Its rollout came to an end; one that did not was terminated, or its end was never recorded."""
    buried: bool
    """An earlier prune wrote its tombstone, and died before it removed the chain."""


@dataclass(frozen=True)
class Plan:
    """What a prune does."""

    old: tuple[Old, ...]
    spared: tuple[ChainReport, ...]
    """Old enough, but not as they were written."""
    young: int


def plan(pages: LedgerPages, reader: SealReader, before: datetime, stated: Stated | None = None) -> Plan:
    """The chains whose last record is older than ``before``; ``stated`` as for ``verify``.

    Raises:
        LedgerError: the ledger cannot be read now.
        LedgerCorrupt: the heads were changed: nothing may be dropped from a ledger that cannot vouch for itself.
    """
    found = verify(pages, reader, stated=stated)
    if found.heads.faults:
        fault = Fault(found.heads.faults[0][0], pages.heads_at, *found.heads.faults[0][1:])
        raise LedgerCorrupt(f"{fault}: nothing is pruned; coalmine ledger verify tells more")
    old: list[Old] = []
    spared: list[ChainReport] = []
    files = pages.kept()
    for report in found.chains:
        one = _old(pages, report, found, files)
        if one is None:
            spared.append(report)
        elif one.last < before:
            if _is_sound(report, one):
                old.append(one)
            else:
                spared.append(report)
    return Plan(tuple(old), tuple(spared), len(found.chains) - len(old) - len(spared))


def prune(pages: LedgerPages, planned: Plan, by: str) -> Iterator[Old]:
    """Drop what was planned, one chain after the other; each is told once it is gone.

    Raises:
        LedgerError: one could not be dropped; what is told is gone, the rest stays.
    """
    for one in planned.old:
        if not one.buried:
            pages.bury(one.chain, one.rollout_id, one.tip, by=by, last=one.last.isoformat())
        pages.drop(one.chain, one.kept)
        yield one


def _old(pages: LedgerPages, report: ChainReport, found: Verification, files: list[str]) -> Old | None:
    last, closed = b"", False
    for line in pages.lines(report.chain):
        last, closed = line, closed or line.startswith(_CLOSED)
    try:
        made = LedgerEntry.model_validate_json(last).at
    except ValidationError:
        return None
    beside = tuple(file for file in files if file.startswith(f"{report.chain}.") and file.endswith(SUFFIX))
    tip = ChainTip(records=report.last, hash=report.tip)
    return Old(report.chain, report.rollout_id, made, tip, beside, closed, report.chain in found.heads.pruned)


def _is_sound(report: ChainReport, one: Old) -> bool:
    return all(one.buried and fault.kind in _HALF_GONE for fault in report.faults)
