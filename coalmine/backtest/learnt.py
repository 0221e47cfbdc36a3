"""A period of the live version against itself, as the looks a ledger keeps of it: what the next rollout learns from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from coalmine.backtest.trace import Trace
from coalmine.errors import LedgerCorrupt
from coalmine.records import LedgerEntry, moment_of


def look_entries(trace: Trace, period: str, stored: datetime) -> list[LedgerEntry]:
    """The looks of a trace, as those of a rollout are kept; ``data.stored`` says since when they are known.

    Args:
        trace: both arms ran the same version.
        period: names the looks instead of a rollout id.
        stored: when it was put into the ledger.
    """
    return [
        LedgerEntry(
            kind="look",
            rollout_id=period,
            sequence=number + 1,
            at=at,
            data={
                "look": number,
                "stage": "compare",
                "from": (at - timedelta(seconds=seconds)).isoformat(),
                "to": at.isoformat(),
                "seconds": seconds,
                "stored": stored.isoformat(),
                "counts": [counts.model_dump(mode="json", exclude_defaults=True) for counts in trace.counts(number)],
            },
        )
        for number, (at, seconds) in enumerate(zip(trace.at, trace.seconds, strict=True))
    ]


def known_then(looks: Sequence[LedgerEntry], began: datetime) -> list[LedgerEntry]:
    """Those that had been stored when a rollout began.

    Raises:
        LedgerCorrupt: one does not say when it was stored.
    """
    return [look for look in looks if _stored(look) <= began]


def _stored(look: LedgerEntry) -> datetime:
    try:
        return moment_of(look.data["stored"])
    except (KeyError, TypeError, ValueError) as error:
        where = f"{look.rollout_id} #{look.sequence}"
        raise LedgerCorrupt(f"{where}: a stored look that does not say when it was stored ({error!r})") from None


def in_stretches(looks: Sequence[LedgerEntry], most: int) -> list[LedgerEntry]:
    """Whole rollouts and stored periods one after the other, the newest ``most`` looks at least.

    Looks of two sources that overlap in time are never mixed: what follows what is part of the noise.
    """
    stretches: dict[str, list[LedgerEntry]] = {}
    for look in looks:
        stretches.setdefault(look.rollout_id, []).append(look)
    newest = sorted(stretches.values(), key=lambda stretch: stretch[-1].at, reverse=True)
    kept, count = [], 0
    for stretch in newest:
        if count >= most:
            break
        kept.append(stretch)
        count += len(stretch)
    return [look for stretch in reversed(kept) for look in stretch]
