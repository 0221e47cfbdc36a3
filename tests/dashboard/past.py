"""Rollouts that ended, as a ledger has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from activities.ledgers.file import FileLedger
from activities.ledgers.sealing import sealer_of
from coalmine.records import LedgerEntry

NOW = datetime.now(UTC).replace(microsecond=0)
EVIL = "<script>alert(1)</script>"


def entries(service: str, number: int, outcome: str, days: float) -> list[LedgerEntry]:
    """One rollout's, which ended so many days ago."""
    rollout, at = f"production/{service}/1.{number}.0/1", NOW - timedelta(days=days)
    tags = {"service": service, "environment": "production", "version": f"1.{number}.0"}
    steps = [
        ("admitted", {}, ""),
        *([("promoted", {"outcome": "promoted"}, "")] if outcome == "promoted" else []),
        ("closed", {"outcome": outcome, "cause": "analysis", "looks": 12, "seconds_to_restore": 3.0}, EVIL),
    ]
    return [
        LedgerEntry(
            kind=kind, rollout_id=rollout, sequence=at_, at=at + timedelta(minutes=10 * at_), data=data, reason=reason,
            tags=tags,
        )
        for at_, (kind, data, reason) in enumerate(steps, start=1)
    ]  # fmt: skip


async def fill(folder: Path) -> None:
    """Three rollouts of two services."""
    ledger = FileLedger(folder, sealer_of({}))
    for number, (service, outcome, days) in enumerate(
        [("checkout", "promoted", 2.0), ("checkout", "rolled_back", 3.0), ("cart", "promoted", 20.0)]
    ):
        await ledger.append(f"production/{service}", entries(service, number, outcome, days))
