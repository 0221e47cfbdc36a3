"""A service's noise, from a trace of the baseline against itself or from the looks a ledger keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, median

from pydantic import TypeAdapter

from coalmine.analysis import summarise_history
from coalmine.analysis.coarse import coarsened
from coalmine.backtest.trace import Trace
from coalmine.errors import InputError, LedgerCorrupt
from coalmine.records import LedgerEntry, MetricCounts, ServiceHistory
from coalmine.spec.metrics import Metric

CATCH_UP = 3.0
"""Times the usual length from which on a look's window is one that caught up, no sample of the noise of a look."""


def history_of(trace: Trace, metrics: Sequence[Metric]) -> ServiceHistory:
    """The noise of every metric over an A/A trace: both arms ran the same version.

    Raises:
        InputError: it has a single look, so that a look's length is not known.
    """
    if trace.looks < 2:
        raise InputError(f"{trace.name}: one look says nothing of a service's noise: at least 60 are needed")
    usual = median(trace.seconds)
    chosen = [look for look, seconds in enumerate(trace.seconds) if seconds <= CATCH_UP * usual]
    return summarise_history(
        [trace.counts(look) for look in chosen],
        fmean(trace.seconds[look] for look in chosen),
        sorted(metrics, key=lambda metric: metric.name),
        since=trace.at[0],
        until=trace.at[-1],
    )


def history_of_looks(looks: Sequence[LedgerEntry], metrics: Sequence[Metric]) -> ServiceHistory:
    """The noise that looks of promoted rollouts or of A/A periods show of these metrics; those of a bake are left out.

    Raises:
        LedgerCorrupt: a look whose counts cannot be read.
    """
    read = [_past_look(entry) for entry in looks if entry.data.get("stage", "compare") == "compare"]
    if not read:
        return ServiceHistory(looks=0)
    usual = median(look.seconds for look in read)
    # A window that caught up after an outage is no sample of the noise of a look.
    read = [look for look in read if look.seconds <= CATCH_UP * usual]
    return summarise_history(
        [coarsened(look.counts, metrics) for look in read],
        fmean(look.seconds for look in read),
        metrics,
        since=min(look.at for look in read),
        until=max(look.at for look in read),
    )


@dataclass(frozen=True)
class _PastLook:
    at: datetime
    seconds: float
    counts: list[MetricCounts]


_COUNTS = TypeAdapter(list[MetricCounts])


def _past_look(entry: LedgerEntry) -> _PastLook:
    where = f"{entry.rollout_id} #{entry.sequence}"
    try:
        seconds = float(entry.data["seconds"])
        counts = _COUNTS.validate_python(entry.data["counts"])
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerCorrupt(f"{where}: a look without readable counts and seconds ({error!r})") from None
    if not seconds > 0:
        raise LedgerCorrupt(f"{where}: data.seconds is {seconds:g}: a look lasts longer than nothing")
    return _PastLook(entry.at, seconds, counts)
