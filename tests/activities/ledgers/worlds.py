"""Worlds for the ledgers' contract."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

from activities.ledgers.file import FileLedger
from activities.ledgers.file_pages import FilePages
from activities.ledgers.s3 import S3Ledger
from activities.ledgers.s3_names import HEADS, head_key, lines_key
from activities.ledgers.s3_objects import Objects
from activities.ledgers.s3_pages import S3Pages
from activities.ledgers.sealing import Sealer, SealReader
from activities.ledgers.verification import Verification, verify
from coalmine.spec.ledger import Ledger


class FileWorld:
    """A folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.workers = [FileLedger(root), FileLedger(root)]
        self.pages = FilePages(root)

    def replace(self, chain: str, lines: Sequence[bytes]) -> None:
        """See ``LedgerWorld``."""
        path = self.root / f"{chain}.jsonl"
        if lines:
            path.write_bytes(b"".join(lines))
        else:
            path.unlink()

    def replace_heads(self, lines: Sequence[bytes]) -> None:
        """See ``LedgerWorld``."""
        (self.root / "heads.jsonl").write_bytes(b"".join(lines))


class S3World:
    """A bucket of its own."""

    def __init__(self, ledger: Ledger, sealer: Sealer | None = None) -> None:
        self.ledger = ledger
        # What two workers remember is apart; making a client takes long.
        self.objects = Objects(ledger)
        self.workers = [S3Ledger(self.objects, sealer), S3Ledger(self.objects, sealer)]
        self.pages = S3Pages(self.objects, sealer)

    def pages_verified(self) -> Verification:
        """Everything, verified."""
        return verify(self.pages, SealReader())

    def replace(self, chain: str, lines: Sequence[bytes]) -> None:
        """See ``LedgerWorld``."""
        folder = lines_key(chain, 1).rpartition("/")[0] + "/"
        self.objects.delete([found.key for found in self.objects.listed(folder)])
        if lines:
            assert self.objects.put_new(lines_key(chain, 1), b"".join(lines))

    def replace_heads(self, lines: Sequence[bytes]) -> None:
        """See ``LedgerWorld``."""
        self.objects.delete([found.key for found in self.objects.listed(HEADS)])
        for number, line in enumerate(lines, 1):
            assert self.objects.put_new(head_key(number), line)


def bucket_name() -> str:
    """A name no other test has."""
    return f"ledger-{uuid.uuid4().hex[:12]}"
