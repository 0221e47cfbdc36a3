"""The heads of a ledger in a bucket: one object each, which only one writer can make."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress

from activities.ledgers import heads
from activities.ledgers.heads import Head, HeadKind
from activities.ledgers.s3_names import HEADS, HINT, head_key, head_number
from activities.ledgers.s3_objects import Objects
from activities.ledgers.sealing import Sealer
from coalmine.errors import LedgerError

TRIES = 40
"""How often another writer may be first, before the workflow asks again."""
HINT_EVERY = 20
"""Heads after which the hint is moved on."""


class S3Heads:
    """Appends heads; several workers may do so at once."""

    def __init__(self, objects: Objects, sealer: Sealer) -> None:
        self._objects = objects
        self._sealer = sealer
        self._guard = threading.Lock()
        self._end: tuple[int, str] | None = None
        """Number and hash of the last head that was seen."""

    def append(
        self,
        chain: str,
        rollout_id: str,
        records: int,
        tip: str,
        *,
        kind: HeadKind = "head",
        by: str = "",
        last: str = "",
    ) -> None:
        """Say where a chain ends now, or that it is dropped.

        Raises:
            LedgerError: it could not be written.
        """
        with self._guard:
            for _ in range(TRIES):
                number, prev = self._end or self._find_end()
                head = Head(
                    n=number + 1,
                    prev=prev,
                    at=heads.now(),
                    kind=kind,
                    chain=chain,
                    rollout_id=rollout_id,
                    records=records,
                    tip=tip,
                    by=by,
                    last=last,
                )
                line = heads.head_line(head, self._sealer)
                if self._objects.put_new(head_key(head.n), line + b"\n"):
                    self._end = head.n, heads.hash_of_head(line)
                    self._move_hint(head.n)
                    return
                self._end = self._find_end(after=number)
        raise LedgerError(f"ledger {self._objects.place} has too many writers at once: no head could be written")

    def lines(self) -> Iterator[bytes]:
        """Every head, with its newline."""
        return self._objects.get_all(found.key for found in self._objects.listed(HEADS))

    def _find_end(self, after: int | None = None) -> tuple[int, str]:
        start = self._hint() if after is None else after
        number = self._last_of(head_key(start - 1) if start > 1 else "")
        if not number and start > 1:
            # The heads end before the hint: somebody removed them. Writing goes on; verifying finds it.
            number = self._last_of("")
        if not number:
            return 0, heads.GENESIS
        line = (self._objects.get(head_key(number)) or b"").removesuffix(b"\n")
        return number, heads.hash_of_head(line)

    def _last_of(self, after: str) -> int:
        """The last head; what somebody else put among them stops no writing, and verifying finds it.

        An object far behind the others that is no head of its number would leave few numbers or none for
        those to come. One that follows the number before counts whatever it holds: its place is taken.
        """
        found = (head_number(found.key) for found in self._objects.listed(HEADS, after=after))
        numbers = sorted(number for number in found if number is not None)
        there = set(numbers)
        return next((n for n in reversed(numbers) if n == 1 or n - 1 in there or self._is_head(n)), 0)

    def _is_head(self, number: int) -> bool:
        head = heads.head_of((self._objects.get(head_key(number)) or b"").removesuffix(b"\n"))
        return head is not None and head.n == number

    def _hint(self) -> int:
        try:
            return int(json.loads(self._objects.get(HINT) or b"{}").get("n", 0))
        except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):
            return 0

    def _move_hint(self, number: int) -> None:
        """A cold worker then lists only what came since; nothing else depends on it, so it may fail."""
        if number % HINT_EVERY:
            return
        with suppress(LedgerError):
            content, tag = self._objects.get_tagged(HINT)
            if content is None or self._hint() < number:
                self._objects.put_over(HINT, json.dumps({"n": number}).encode(), tag)
