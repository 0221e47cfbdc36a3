"""Ledgers to change behind their back."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from activities.ledgers.chain_reading import Fault
from activities.ledgers.file import FileLedger
from activities.ledgers.file_pages import FilePages
from activities.ledgers.sealing import Sealer, SealReader
from activities.ledgers.verification import Verification, verify
from coalmine.records import ChainTip, LedgerEntry

BOOK = "production/checkout"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROLLOUT = f"{BOOK}/1.42.0/1"
COUNTS = [{"metric": "errors", "baseline": {"total": 900, "events": 18}, "canary": {"total": 100, "events": 2}}]


def entries(records: int, rollout: str = ROLLOUT) -> list[LedgerEntry]:
    """One rollout: looks, and a decision now and then."""
    made = []
    for number in range(1, records + 1):
        look = number % 7 > 0
        kind, data = ("look", {"counts": COUNTS, "seconds": 10.0}) if look else ("advance", {"step": number})
        at = NOON + timedelta(seconds=number)
        reason = "no harm is shown — ×1.02" if look else "5m and 2,104 requests at 10 %"
        made.append(LedgerEntry(kind=kind, rollout_id=rollout, sequence=number, at=at, reason=reason, data=data))
    return made


def write(root: Path, records: int, rollout: str = ROLLOUT, *, at_once: int = 20, sealer: Sealer | None = None) -> Path:
    """Write one rollout, so many records an append.

    Returns:
        Its file.
    """
    ledger, made = FileLedger(root, sealer), entries(records, rollout)
    book = "/".join(rollout.split("/")[:-2])

    async def append() -> None:
        for first in range(0, records, at_once):
            await ledger.append(book, made[first : first + at_once])

    asyncio.run(append())
    return ledger.file_of(book, rollout)


def verified(root: Path, reader: SealReader | None = None, kept: dict[str, ChainTip] | None = None) -> Verification:
    """Verify what is there."""
    return verify(FilePages(root), reader or SealReader(), kept)


def lines(path: Path) -> list[bytes]:
    """Whole lines, with their newlines."""
    return path.read_bytes().splitlines(keepends=True)


def places(found: Verification) -> list[tuple[str, str, int | None]]:
    """Kind, file name and line of each fault."""
    return [(fault.kind, Path(fault.file).name, fault.line) for fault in found.faults]


def only(found: Verification) -> Fault:
    """The one fault."""
    (fault,) = found.faults
    return fault


def unchained(root: Path, records: int, rollout: str = ROLLOUT) -> Path:
    """A file as it was written before ledgers were chained."""
    path = FileLedger(root).file_of("/".join(rollout.split("/")[:-2]), rollout)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{entry.model_dump_json()}\n" for entry in entries(records, rollout)))
    return path


def forged(path: Path, number: int, **changes: object) -> bytes:
    """A line (from 1) with other content, and its own hash made to fit."""
    from activities.ledgers.chain import linked

    line = json.loads(lines(path)[number - 1])
    place = line.pop("chain")
    entry = LedgerEntry.model_validate({**line, **changes})
    return linked(entry, place["n"], place["prev"])[0] + b"\n"
