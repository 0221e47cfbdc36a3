"""Verifying one chain: each line against the one before, and against the tips that heads or people kept of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from activities.ledgers import chain as links
from activities.ledgers.file_chain import key_of
from coalmine.records import ChainTip

SHOWN = 20
"""Faults of one file that are listed; the rest is counted."""


@dataclass(frozen=True)
class Fault:
    """One change that was found, and where."""

    kind: str
    """``changed`` ``removed`` ``moved`` ``rewritten`` ``cut`` ``torn`` ``unanchored`` ``missing`` ``misplaced``
    ``head`` ``unsigned`` ``archive``."""
    file: str
    line: int | None
    """From 1; None when it is the whole file."""
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


@dataclass
class ChainReport:
    """One chain, as far as it could be verified."""

    chain: str
    file: str
    records: int = 0
    unchained: int = 0
    """Lines from before ledgers were chained: nothing proves them."""
    unchained_at: int | None = None
    """The first of them."""
    older: hashlib._Hash = field(default_factory=hashlib.sha256, repr=False)
    """Over them: what somebody who knows them may name them by."""
    last: int = 0
    """Number of the last record: what ``records`` is when nothing was removed or inserted."""
    tip: str = ""
    rollout_id: str = ""
    archives: list[tuple[int, bytes]] = field(default_factory=list)
    """Lines that name an archived history, with their numbers."""
    faults: list[Fault] = field(default_factory=list)
    more: int = 0
    """Faults beyond those that are listed."""

    def add(self, kind: str, line: int | None, message: str) -> None:
        """Put a fault on the list."""
        if len(self.faults) < SHOWN:
            self.faults.append(Fault(kind, self.file, line, message))
        else:
            self.more += 1


def read_chain(
    report: ChainReport, lines: Iterable[bytes], anchors: Mapping[int, str], kept: Mapping[str, ChainTip]
) -> None:
    """Go down one chain and put what is wrong into its report.

    Args:
        report: of the chain; filled.
        lines: of the chain, with their newlines.
        anchors: by number of a record, its hash as the heads have it.
        kept: tips that were kept elsewhere, by rollout id.
    """
    walk, tips = _Walk(report), _Tips(report, anchors)
    for number, line in enumerate(lines, 1):
        known = report.rollout_id
        walk.step(number, line)
        if report.rollout_id != known:
            tips.expect(kept.get(report.rollout_id))
        if not walk.broken:
            tips.pass_by(report.last, walk.tip)
    report.tip = walk.tip
    tips.end()


class _Walk:
    """Goes from line to line."""

    def __init__(self, report: ChainReport) -> None:
        self._report = report
        self._chained = False
        self.broken = False
        """The line before was changed: what follows from it cannot be judged."""
        self.tip = ""

    def step(self, number: int, line: bytes) -> None:
        """Take the next line, of which ``number`` is the place in the file."""
        report = self._report
        report.records = number
        whole = line.endswith(b"\n")
        line = line.removesuffix(b"\n")
        link = links.link_of(line)
        key = key_of(line) if link is None or not report.rollout_id else None
        if key is not None and not report.rollout_id:
            report.rollout_id = key[0]
        if link is not None:
            self._follow(number, link)
        elif not whole and key is None:
            report.add(
                "torn", number, "the last line is not finished; if no head covers it, the next append cuts it off"
            )
            self._change()
        elif self._chained or links.claims_a_link(line) or key is None:
            report.add("changed", number, "this line is not as it was written")
            self._change()
        else:
            report.unchained += 1
            report.unchained_at = report.unchained_at or number
            report.older.update(line + b"\n")
            report.last = number
        self.tip = link.hash if link is not None else links.digest(line)
        if link is not None and line.startswith(links.ARCHIVED):
            report.archives.append((number, line))
        if not whole and (link is not None or key is not None):
            report.add("changed", number, "the end of this line is missing")

    def _change(self) -> None:
        self.broken = True
        self._report.last += 1

    def _follow(self, number: int, link: links.Link) -> None:
        report, expected = self._report, self._report.last + 1
        # A newline that was changed makes one line of two, or two of one: that is no further fault.
        apart = link.n - expected if not (self.broken and abs(link.n - expected) == 1) else 0
        if apart > 0:
            gone = f"record {expected}" if apart == 1 else f"{expected} to {link.n - 1}"
            report.add(
                "removed", number, f"this is record {link.n}: {gone} should stand before it, and was removed or moved"
            )
        elif apart < 0:
            report.add("moved", number, f"this is record {link.n}, where {expected} should stand: moved or inserted")
        elif not self.broken and link.prev != (self.tip or links.genesis(report.rollout_id)):
            report.add(
                "rewritten", number, "this line does not follow from the one before: one of the two was rewritten"
            )
        self._chained, self.broken = True, False
        report.last = link.n


class _Tips:
    """Hashes that records must have, because a head or somebody outside says so."""

    def __init__(self, report: ChainReport, anchors: Mapping[int, str]) -> None:
        self._report = report
        self._anchors = anchors
        self._kept: ChainTip | None = None
        self._good = 0
        self._told = False
        self._furthest = 0

    def expect(self, kept: ChainTip | None) -> None:
        """Somebody outside kept this tip."""
        self._kept = kept

    def pass_by(self, n: int, tip: str) -> None:
        """Compare record ``n``; the first that is wrong is told, as the next ones follow from it."""
        self._furthest = max(self._furthest, n)
        wanted = self._anchors.get(n)
        if wanted == tip:
            self._good = n
        elif wanted is not None and not self._told:
            self._told = True
            text = (
                f"records {self._good + 1} to {n} are not those the head was written for (its hash is {wanted[:12]}…)"
            )
            self._report.add("rewritten", n, text)
        if self._kept is not None and self._kept.records == n and self._kept.hash != tip:
            text = f"records up to {n} are not those whose tip was kept elsewhere ({self._kept.hash[:12]}…)"
            self._report.add("rewritten", n, text)

    def end(self) -> None:
        """Compare how far the chain reaches."""
        report = self._report
        anchored = max(self._anchors, default=0)
        if anchored > report.last:
            report.add(
                "cut", report.records, f"the tail was cut off after this line: the head counts {anchored} records"
            )
        if self._kept is not None and self._kept.records > max(report.last, anchored):
            text = (
                f"the tail was cut off after this line, and the heads with it: {self._kept.records} records were kept"
            )
            report.add("cut", report.records, text)
