"""The objects of a ledger, line by line (``LedgerPages``)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from activities.ledgers.s3_heads import S3Heads
from activities.ledgers.s3_names import CHAINS, HEADS, KEPT, chain_of_key, folder_of_chain
from activities.ledgers.s3_objects import Objects
from activities.ledgers.sealing import Sealer
from coalmine.records import ChainTip

SETTLING = 1.0
"""Seconds a writer may need between a record and its head."""


class S3Pages:
    """The lines in one bucket."""

    def __init__(self, objects: Objects, sealer: Sealer | None = None) -> None:
        self._objects = objects
        self._heads = S3Heads(objects, sealer or Sealer())
        self.place = objects.place

    @property
    def heads_at(self) -> str:
        """See ``LedgerPages``."""
        return f"{self.place}{HEADS}"

    def chains(self) -> list[str]:
        """See ``LedgerPages``."""
        return sorted({chain_of_key(found.key) for found in self._objects.listed(CHAINS)})

    def strays(self) -> list[tuple[str, str]]:
        """See ``LedgerPages``: what is below ``chains/`` is read as a chain, whatever it is."""
        return []

    def lines(self, chain: str) -> Iterator[bytes]:
        """See ``LedgerPages``."""
        keys = [found.key for found in self._objects.listed(folder_of_chain(chain))]
        for content in self._objects.get_all(keys):
            yield from _split(content)

    def kept(self) -> list[str]:
        """See ``LedgerPages``."""
        return sorted(found.key.removeprefix(KEPT) for found in self._objects.listed(KEPT))

    def content(self, file: str) -> bytes | None:
        """See ``LedgerPages``."""
        return self._objects.get(KEPT + file)

    def bury(self, chain: str, rollout_id: str, tip: ChainTip, *, by: str, last: str) -> None:
        """See ``LedgerPages``."""
        self._heads.append(chain, rollout_id, tip.records, tip.hash, kind="pruned", by=by, last=last)

    def drop(self, chain: str, kept: Sequence[str]) -> None:
        """See ``LedgerPages``."""
        # The chain goes last, from its end: as long as its beginning is there, pruning finds it again.
        lines = [found.key for found in self._objects.listed(folder_of_chain(chain))]
        self._objects.delete([*(KEPT + file for file in kept), *reversed(lines)])

    def heads(self) -> Iterator[bytes]:
        """See ``LedgerPages``."""
        return self._heads.lines()

    @contextmanager
    def still(self, chain: str) -> Iterator[None]:
        """Nobody can be kept out of a bucket: give a writer the moment it needs."""
        time.sleep(SETTLING)
        yield

    def where(self, chain: str) -> str:
        """See ``LedgerPages``."""
        return f"{self.place}{folder_of_chain(chain)}"

    def where_kept(self, file: str) -> str:
        """See ``LedgerPages``."""
        return f"{self.place}{KEPT}{file}"


def _split(content: bytes) -> list[bytes]:
    *whole, rest = content.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])
