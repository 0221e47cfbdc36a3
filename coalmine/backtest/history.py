"""A service's noise from a trace of the baseline against itself."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

from coalmine.analysis import summarise_history
from coalmine.backtest.trace import Trace
from coalmine.errors import InputError
from coalmine.records import ServiceHistory
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
