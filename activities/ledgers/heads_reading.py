"""Reading the heads of a ledger back: their own chain, their seals, and what they say of each rollout's chain."""

from __future__ import annotations

from dataclasses import dataclass, field

from activities.ledgers import heads as writing
from activities.ledgers.base import LedgerPages
from activities.ledgers.heads import Head
from activities.ledgers.sealing import KEY_VARIABLE, Sealer, SealReader
from coalmine.errors import InputError

SHOWN = 20


@dataclass
class Heads:
    """What the heads say."""

    anchors: dict[str, dict[int, str]] = field(default_factory=dict)
    """By chain: the hash of the line with this number."""
    pruned: dict[str, Head] = field(default_factory=dict)
    count: int = 0
    signed: int = 0
    unchecked: int = 0
    tip: str = ""
    last_signed: bool = False
    faults: list[tuple[str, int | None, str]] = field(default_factory=list)
    """Kind, line and message."""
    more: int = 0

    def add(self, kind: str, line: int | None, message: str) -> None:
        """Put a fault on the list."""
        if len(self.faults) < SHOWN:
            self.faults.append((kind, line, message))
        else:
            self.more += 1


def read_heads(pages: LedgerPages, reader: SealReader, only: str = "") -> Heads:
    """Read all heads.

    Args:
        pages: the ledger.
        reader: judges seals; with any key, heads must be signed by one of them from the first signed one on.
        only: anchors of this chain only, and no seal is judged: the second reading of one chain.

    Raises:
        LedgerError: they cannot be read now.
    """
    found = Heads()
    walk = _Walk(found, reader, only)
    for number, line in enumerate(pages.heads(), 1):
        walk.step(number, line)
    found.tip = walk.before if found.count else ""
    if reader.keys and found.count and not found.last_signed and not only:
        found.add("unsigned", found.count, "the last head is not signed by a key that was given")
    return found


def demand_key(pages: LedgerPages, sealer: Sealer) -> None:
    """Before a person appends: what is written without the key to a ledger that is signed would pass for a forgery.

    Raises:
        InputError: the last head is signed, and ``sealer`` has no key.
        LedgerError: the heads cannot be read now.
    """
    last = b""
    for line in pages.heads():
        last = line
    head = writing.head_of(last.removesuffix(b"\n"))
    if head is not None and head.key and not sealer.name:
        raise InputError(
            f"{KEY_VARIABLE}: not set, though the heads of {pages.place} are signed (by {head.key}): "
            "set it to the key's PEM file, as for workers"
        )


class _Walk:
    """Goes from head to head."""

    def __init__(self, found: Heads, reader: SealReader, only: str) -> None:
        self._found = found
        self._reader = reader
        self._only = only
        self._last = 0
        self._broken = False
        """The head before was changed: what follows from it cannot be judged."""
        self._key = ""
        self.before = writing.GENESIS

    def step(self, number: int, line: bytes) -> None:
        """Take the next line."""
        found, whole, line = self._found, line.endswith(b"\n"), line.removesuffix(b"\n")
        found.count = number
        head, split = writing.head_of(line), writing.split_seal(line)
        if head is None or split is None:
            found.last_signed = False
            if whole:
                found.add("head", number, "this head is not as it was written")
            else:
                found.add("torn", number, "the last head is not finished: the next append cuts it off")
            self._broken, self._last = True, self._last + 1
        elif not self._only and not self._is_sealed(number, head, split):
            found.add("head", number, "this head is not as it was sealed: it was changed")
            self._broken, self._last = True, head.n
        else:
            self._follow(number, head)
            if not whole:
                found.add("head", number, "the end of this head is missing")
            if not self._only or head.chain == self._only:
                _take(found, number, head)
        self.before = writing.hash_of_head(line)

    def _is_sealed(self, number: int, head: Head, split: tuple[bytes, str]) -> bool:
        found = self._found
        judged = self._reader.judge(split[0], head.key, split[1])
        found.signed += judged == "signed"
        found.unchecked += judged == "unchecked"
        found.last_signed = judged == "signed"
        if self._key and judged == "plain":
            found.add("unsigned", number, f"this head is not signed, though those before it are (by {self._key})")
        elif self._reader.keys and judged == "unchecked":
            found.add("unsigned", number, f"this head is signed by {head.key}, a key that was not given")
        self._key = head.key or self._key
        return judged != "broken"

    def _follow(self, number: int, head: Head) -> None:
        expected = self._last + 1
        apart = head.n - expected
        if apart and not (self._broken and abs(apart) == 1):
            what = "heads were removed" if apart > 0 else "it was moved or inserted"
            self._found.add("head", number, f"this is head {head.n}, where {expected} should stand: {what}")
        elif not self._broken and head.prev != self.before:
            text = "this head does not follow from the one before: one of the two was rewritten"
            self._found.add("head", number, text)
        self._broken, self._last = False, head.n


def _take(found: Heads, number: int, head: Head) -> None:
    anchors = found.anchors.setdefault(head.chain, {})
    if head.kind == "pruned":
        found.pruned[head.chain] = head
        del found.anchors[head.chain]
        return
    # That the chain holds all that is anchored is seen when it is read; two writers may anchor in either order.
    if anchors.get(head.records, head.tip) != head.tip:
        text = (
            f"{head.chain} had another record {head.records} before: it was cut, replaced or moved away, and began anew"
        )
        found.add("rewritten", number, text)
    anchors[head.records] = head.tip
