"""What one metric shows, in the metric's own unit: effect, interval, levels, and the sentence that says them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from coalmine.analysis import latency
from coalmine.analysis.sentences import effect, number, percent, seconds
from coalmine.records import Measure

if TYPE_CHECKING:
    from coalmine.analysis.metrics import LatencyState, RatioState, Weighed

QUANTILE = 0.99


class Reading(NamedTuple):
    """One metric after a look; ``effect`` and ``interval`` are in ``measure``, None while nothing is known."""

    text: str
    effect: float | None
    interval: tuple[float, float] | None
    baseline: float | None
    canary: float | None
    baseline_requests: int = 0
    canary_requests: int = 0
    lowest: float = 0.0
    """Lowest ratio any channel is surely above, for harm without history; 0 when nothing is known."""
    measure: Measure = "odds ratio"
    margin: float | None = None
    """In ``measure``; None = the metric's own margin."""
    worse: Literal["up", "down"] = "up"
    proof: str = ""
    """What no harm means, in words; empty = below the no-harm margin."""


def read_ratios(
    names: Sequence[str], margins: Sequence[float], state: RatioState, weighed: Weighed, alpha: float
) -> list[Reading]:
    """Ratio metrics of one run: the share of events of each arm."""
    shares = state.shares
    arms = (shares.canary, shares.canary_events, shares.baseline, shares.baseline_events)
    ends = (shares.estimate(), *weighed.intervals(alpha))
    counts, odds = (zip(*(part.reshape(-1).tolist() for part in parts), strict=True) for parts in (arms, ends))
    return [
        _ratio(name, margin, [int(count) for count in of_one], *_odds(*found))
        for name, margin, of_one, found in zip(names, margins, counts, odds, strict=True)
    ]


def _ratio(
    name: str, margin: float, counts: Sequence[int], ratio: float | None, span: tuple[float, float] | None
) -> Reading:
    n_c, x_c, n_b, x_b = counts
    canary, baseline = x_c / n_c if n_c else None, x_b / n_b if n_b else None
    text = (
        f"{name}: canary {percent(canary)} against {percent(baseline)} "
        f"({effect(ratio, span, margin)}) after {number(n_c)} canary requests"
    )
    return Reading(text, ratio, span, baseline, canary, n_b, n_c, span[0] if span else 0.0)


def read_latencies(
    names: Sequence[str], margins: Sequence[float], state: LatencyState, weighed: Weighed, alpha: float
) -> list[Reading]:
    """Latency metrics of one run: seconds at p99 of each arm, and the bound that shows the strongest difference."""
    shares, rows = state.shares, len(names)
    assert weighed.shares is not None
    assert weighed.estimate is not None
    columns = (state.slots, weighed.shares, weighed.estimate, *weighed.intervals(alpha))
    events = (shares.canary_events, shares.baseline_events)
    bounds = zip(*(values.reshape(rows, -1).tolist() for values in (*columns, *events)), strict=True)
    arms = [values.reshape(rows, -1) for values in (state.canary, state.baseline)]
    requests = zip(*(np.add.reduce(counts, axis=-1).tolist() for counts in arms), strict=True)
    levels = zip(*(latency.quantiles(counts, state.bounds, QUANTILE) for counts in arms), strict=True)
    return [
        _latency(name, margin, state.bounds, number, level, [_Watched(*slot) for slot in zip(*slots, strict=True)])
        for name, margin, number, level, slots in zip(names, margins, requests, levels, bounds, strict=True)
    ]


class _Watched(NamedTuple):
    """A bound that is watched; ``bound`` -1 = none."""

    bound: int
    evidence: float
    estimate: float
    low: float
    high: float
    canary: float
    baseline: float


def _latency(
    name: str,
    margin: float,
    bounds: Sequence[float],
    requests: tuple[float, float],
    levels: tuple[float | None, float | None],
    slots: Sequence[_Watched],
) -> Reading:
    n_c, n_b = int(requests[0]), int(requests[1])
    canary, baseline = levels
    text = f"{name}: p99 {seconds(canary)} against {seconds(baseline)}"
    watched = [slot for slot in slots if slot.bound >= 0]
    if not watched:
        text += f", no bound to compare at yet, after {number(n_c)} canary requests"
        return Reading(text, None, None, baseline, canary, n_b, n_c, 0.0)
    strongest = max(watched, key=lambda slot: slot.evidence)
    shown = strongest if strongest.evidence > 0 else watched[0]
    ratio, span = _odds(shown.estimate, shown.low, shown.high)
    above_c, above_b = (
        events / requests if requests else None for events, requests in ((shown.canary, n_c), (shown.baseline, n_b))
    )
    text += (
        f"; above {seconds(bounds[shown.bound])}: canary {percent(above_c)} against {percent(above_b)} "
        f"({effect(ratio, span, margin)}) after {number(n_c)} canary requests"
    )
    lows = [slot.low for slot in watched if isfinite(slot.low)]
    return Reading(text, ratio, span, baseline, canary, n_b, n_c, max(lows, default=0.0))


def significant(value: float) -> float:
    """Six significant digits: what is shown, and the same on every machine."""
    return float(f"{value:.6g}")


def _odds(ratio: float, low: float, high: float) -> tuple[float | None, tuple[float, float] | None]:
    if not isfinite(ratio):
        return None, None
    # After very many requests the interval is narrower than the peak of the kept points is exact.
    return round(min(max(ratio, low), high), 4), (round(low, 4), round(high, 4))
