"""Finding any change of a ledger: a line, a record removed, inserted or moved, a tail cut off, a file taken away.

Everything is read once, line by line. A chain is checked against itself, against the heads of the ledger, and against
tips that were kept elsewhere: without a signing key, only the last finds a ledger that was rewritten as a whole. With
a key, what no signed head vouches for is a finding, unless a person states it (``activities.ledgers.stated``).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from activities.ledgers.base import LedgerPages
from activities.ledgers.chain_reading import ChainReport, Fault, read_chain
from activities.ledgers.heads_reading import Heads, read_heads
from activities.ledgers.names import book_of, chain_of
from activities.ledgers.sealing import SealReader
from activities.ledgers.stated import Stated, demand_anything, demand_chains
from coalmine.errors import LedgerError
from coalmine.records import Archived, ChainTip, LedgerEntry

AGAIN = 2
"""How often a chain is read again that a worker may have been writing to."""
_RACY = frozenset({"torn", "unanchored", "cut"})
"""Faults that a worker leaves for a moment while it writes."""


@dataclass
class Verification:
    """What was found of a whole ledger."""

    place: str
    chains: list[ChainReport] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    more: int = 0
    """Faults beyond those that are listed."""
    heads: Heads = field(default_factory=Heads)
    archives: int = 0
    """Archived histories that are as they were."""
    unnamed: int = 0
    """Archived histories that no chain names."""
    compared: int = 0
    """Chains that were compared with a tip kept elsewhere."""
    seconds: float = 0.0

    @property
    def records(self) -> int:
        """Lines of all chains."""
        return sum(chain.records for chain in self.chains)

    @property
    def unchained(self) -> int:
        """Lines nothing proves."""
        return sum(chain.unchained for chain in self.chains)


def verify(
    pages: LedgerPages,
    reader: SealReader,
    kept: Mapping[str, ChainTip] | None = None,
    stated: Stated | None = None,
) -> Verification:
    """Verify a ledger.

    Args:
        pages: the ledger.
        reader: knows the public keys heads may be signed with; with any, all that is there must be vouched for by
            heads that one of them signed, and something must be there.
        kept: tips by rollout id that were kept outside of the ledger: an earlier verification's, or a rollout's.
        stated: what is accepted although the keys do not vouch for it; without keys it says nothing.

    Raises:
        LedgerError: it cannot be read now.
    """
    began, kept, stated = time.monotonic(), kept or {}, stated or Stated()
    found, names = _begin(pages, reader, stated)
    found.faults += [Fault(kind, pages.heads_at, line, text) for kind, line, text in found.heads.faults]
    found.faults += [Fault("misplaced", place, None, why) for place, why in pages.strays()]
    found.more = found.heads.more
    for name in names:
        report = _verify_chain(pages, name, found.heads, reader, kept)
        found.chains.append(report)
    _verify_archives(found, pages)
    if reader.keys:
        found.faults += demand_chains(found.chains, stated, pages.place)
    for report in found.chains:
        found.faults += report.faults
        found.more += report.more
    _find_missing(found, pages, reader, kept)
    found.compared = sum(report.rollout_id in kept for report in found.chains)
    found.seconds = time.monotonic() - began
    return found


def tips_of(found: Verification) -> dict[str, ChainTip]:
    """What to keep elsewhere: where each chain ends, by rollout id."""
    chained = (chain for chain in found.chains if chain.rollout_id and chain.records > chain.unchained)
    return {chain.rollout_id: ChainTip(records=chain.last, hash=chain.tip) for chain in chained}


def _begin(pages: LedgerPages, reader: SealReader, stated: Stated) -> tuple[Verification, list[str]]:
    """The heads and the names of the chains; with a key, a ledger without heads is a finding."""
    found = Verification(pages.place, heads=read_heads(pages, reader, stated=stated))
    names = pages.chains()
    if reader.keys and names and not found.heads.count:
        # A worker may be writing its first records just now.
        with pages.still(names[0]):
            found.heads = read_heads(pages, reader, stated=stated)
    if reader.keys and (text := demand_anything(found.heads.count, len(names), stated)):
        if names:
            found.heads.add("unsigned", None, text)
        else:
            # Of the ledger, not of its heads: there is nothing that a prune could destroy.
            found.faults.append(Fault("missing", pages.place, None, text))
    return found, names


def _verify_chain(
    pages: LedgerPages, name: str, heads: Heads, reader: SealReader, kept: Mapping[str, ChainTip]
) -> ChainReport:
    report = _read(pages, name, heads, kept)
    for _ in range(AGAIN):
        if not any(fault.kind in _RACY for fault in report.faults):
            break
        with pages.still(name):
            report = _read(pages, name, read_heads(pages, reader, only=name), kept)
    return report


def _read(pages: LedgerPages, name: str, heads: Heads, kept: Mapping[str, ChainTip]) -> ChainReport:
    report, anchors = ChainReport(name, pages.where(name)), heads.anchors.get(name, {})
    read_chain(report, pages.lines(name), anchors, kept)
    if report.rollout_id and not _belongs(name, report.rollout_id):
        report.add("misplaced", None, f"this is the chain of {report.rollout_id}: it was renamed or copied here")
    if name in heads.pruned:
        by = heads.pruned[name].by or "somebody"
        report.add("head", None, f"it is there, though the heads say that {by} pruned it: put back by hand?")
    elif not anchors and report.records > report.unchained:
        report.add("unanchored", None, "no head names this chain: it was put there by hand, or its heads were removed")
    elif not anchors and not report.records:
        text = (
            "it is empty and no head names it: put there by hand, or left by a worker that could not write its first "
            "record (the next append does)"
        )
        report.add("unanchored", None, text)
    elif anchors and report.last > max(anchors):
        text = (
            f"no head covers the records from {max(anchors) + 1} on: added by hand, or left by a worker that died "
            "before it anchored them (the next append does)"
        )
        report.add("unanchored", report.records - (report.last - max(anchors)) + 1, text)
    return report


def _belongs(name: str, rollout_id: str) -> bool:
    try:
        return chain_of(book_of(rollout_id), rollout_id) == name
    except LedgerError:
        return False


def _verify_archives(found: Verification, pages: LedgerPages) -> None:
    """Each history that a chain names is there, as it was; those that none names are counted only."""
    named: set[str] = set()
    for report in found.chains:
        for number, line in report.archives:
            kept = _archived(line)
            if kept is None:
                report.faults.append(Fault("archive", report.file, number, "this line names no archived history"))
                continue
            named.add(kept.file)
            content = pages.content(kept.file)
            place = pages.where_kept(kept.file)
            if content is None:
                text = f"the archived history is missing that {report.file}:{number} names"
                report.faults.append(Fault("missing", place, None, text))
            elif hashlib.sha256(content).hexdigest() != kept.sha256:
                text = f"the archived history was changed: it is not the one that {report.file}:{number} names"
                report.faults.append(Fault("archive", place, None, text))
            else:
                found.archives += 1
    # A worker that died between keeping a history and saying so leaves one: it proves nothing, and harms nothing.
    found.unnamed = len(set(pages.kept()) - named)


def _archived(line: bytes) -> Archived | None:
    try:
        return Archived.model_validate(LedgerEntry.model_validate_json(line).data)
    except ValidationError:
        return None


def _find_missing(found: Verification, pages: LedgerPages, reader: SealReader, kept: Mapping[str, ChainTip]) -> None:
    there = {report.chain for report in found.chains}
    gone = {name: max(anchors) for name, anchors in found.heads.anchors.items() if name not in there and anchors}
    pruned = dict(found.heads.pruned)
    for name, records in gone.items():
        fresh = read_heads(pages, reader, only=name)
        if name in fresh.pruned:
            pruned[name] = fresh.pruned[name]
            continue
        text = f"the whole chain is missing: the heads count {records} records, and no prune dropped it"
        found.faults.append(Fault("missing", pages.where(name), None, text))
    known = {report.rollout_id for report in found.chains} | {head.rollout_id for head in pruned.values()}
    for rollout_id in sorted(set(kept) - known):
        place = pages.where(chain_of(book_of(rollout_id), rollout_id)) if book_of(rollout_id) else rollout_id
        if not any(fault.file == place and fault.kind == "missing" for fault in found.faults):
            text = (
                f"the whole chain is missing, and its heads too: a tip of {kept[rollout_id].records} records was kept"
            )
            found.faults.append(Fault("missing", place, None, text))
