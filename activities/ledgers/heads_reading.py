"""Reading the heads of a ledger back: their own chain, their seals, and what they say of each rollout's chain."""

from __future__ import annotations

from dataclasses import dataclass, field

from activities.ledgers import heads as writing
from activities.ledgers.base import LedgerPages
from activities.ledgers.heads import Head
from activities.ledgers.sealing import KEY_VARIABLE, Sealer, SealReader
from activities.ledgers.stated import Pin, Stated
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


def read_heads(pages: LedgerPages, reader: SealReader, only: str = "", stated: Stated | None = None) -> Heads:
    """Read all heads.

    Args:
        pages: the ledger.
        reader: judges seals; with any key, every head must be signed by one of them.
        only: anchors of this chain only, and no seal is judged: the second reading of one chain.
        stated: from which head on they must be signed, if not from the first.

    Raises:
        LedgerError: they cannot be read now.
    """
    found = Heads()
    signed_from = stated.signed_from if stated else None
    walk = _Walk(found, reader, only, signed_from)
    for number, line in enumerate(pages.heads(), 1):
        walk.step(number, line)
    found.tip = walk.before if found.count else ""
    if reader.keys and not only:
        _demand_signatures(found, walk, signed_from)
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


def _demand_signatures(found: Heads, walk: _Walk, signed_from: Pin | None) -> None:
    """What a key demands of the heads as a whole; that there are any is demanded of the whole ledger."""
    if not found.count:
        return
    if not found.signed:
        text = (
            "no head up to this last one is signed by a key that was given: the ledger was made anew by somebody "
            "without it, or no worker with the key (COALMINE_LEDGER_KEY) has written yet; until one has, nothing can "
            "be verified with --key"
        )
        found.add("unsigned", found.count, text)
    elif not found.last_signed:
        found.add("unsigned", found.count, "the last head is not signed by a key that was given")
    if signed_from and walk.pinned != signed_from.hash:
        text = (
            f"the head before {signed_from.number} is not the one that --signed-from names "
            f"({signed_from.hash[:12]}…): what came before the key was made anew, or cut off"
        )
        found.add("head", min(signed_from.number - 1, found.count) or None, text)
    elif walk.early and found.signed:
        first, last, digest = walk.early
        text = (
            f"{f'heads {first} to {last} are' if last > first else f'head {last} is'} not signed, though a signed one "
            "follows: written before workers had the key, or the ledger was made anew without it and a worker with "
            "the key wrote on; only if you know that they are as they were, say "
            f"--signed-from {Pin(last + 1, digest)}"
        )
        found.add("unsigned", first, text)


class _Walk:
    """Goes from head to head."""

    def __init__(self, found: Heads, reader: SealReader, only: str, signed_from: Pin | None = None) -> None:
        self._found = found
        self._reader = reader
        self._only = only
        self._last = 0
        self._broken = False
        """The head before was changed: what follows from it cannot be judged."""
        self._key = ""
        self._signed_from = signed_from
        self.before = writing.GENESIS
        self.pinned = writing.GENESIS if signed_from and signed_from.number == 1 else ""
        """Hash of the head before the first that has to be signed."""
        self.early: tuple[int, int, str] | None = None
        """First and last head that is not signed, though it has to be, before any that is; and the hash of the last."""

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
        if self._signed_from and number == self._signed_from.number - 1:
            self.pinned = self.before
        if self.early and self.early[1] == number:
            self.early = (self.early[0], number, self.before)

    def _is_sealed(self, number: int, head: Head, split: tuple[bytes, str]) -> bool:
        found = self._found
        judged = self._reader.judge(split[0], head.key, split[1])
        found.signed += judged == "signed"
        found.unchecked += judged == "unchecked"
        found.last_signed = judged == "signed"
        if self._key and judged == "plain":
            found.add("unsigned", number, f"this head is not signed, though those before it are (by {self._key})")
        elif judged == "plain" and not (self._signed_from and number < self._signed_from.number):
            self.early = (self.early[0] if self.early else number, number, "")
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
