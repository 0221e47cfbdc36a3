"""What one metric shows, in the metric's own unit: effect, interval, levels, and the sentence that says them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from coalmine.analysis import latency
from coalmine.analysis.sentences import effect, number, percent, seconds
from coalmine.records import Measure

if TYPE_CHECKING:
    from coalmine.analysis.metrics import LatencyMetric, LatencyState, RatioMetric, RatioState

QUANTILE = 0.99


@dataclass(frozen=True)
class Reading:
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


def read_ratio(name: str, judge: RatioMetric, state: RatioState, alpha: float) -> Reading:
    """A ratio metric of one run: the share of events of each arm."""
    shares = state.shares
    n_c, x_c, n_b, x_b = (
        int(values[0, 0]) for values in (shares.canary, shares.canary_events, shares.baseline, shares.baseline_events)
    )
    ratio, span = _odds(shares.estimate()[0, 0], *(end[0, 0] for end in shares.bounds(judge.prior, alpha)))
    canary, baseline = x_c / n_c if n_c else None, x_b / n_b if n_b else None
    text = (
        f"{name}: canary {percent(canary)} against {percent(baseline)} "
        f"({effect(ratio, span, judge.margin)}) after {number(n_c)} canary requests"
    )
    return Reading(text, ratio, span, baseline, canary, n_b, n_c, span[0] if span else 0.0)


def read_latency(name: str, judge: LatencyMetric, state: LatencyState, alpha: float, unspent: float) -> Reading:
    """A latency metric of one run: seconds at p99 of each arm, and the bound that shows the strongest difference."""
    n_c, n_b = int(state.canary.sum()), int(state.baseline.sum())
    canary, baseline = (
        latency.quantile(counts[0], state.bounds, QUANTILE) for counts in (state.canary, state.baseline)
    )
    text = f"{name}: p99 {seconds(canary)} against {seconds(baseline)}"
    watched = [slot for slot in range(state.slots.shape[1]) if state.slots[0, slot] >= 0]
    if not watched:
        text += f", no bound to compare at yet, after {number(n_c)} canary requests"
        return Reading(text, None, None, baseline, canary, n_b, n_c, 0.0)
    shares = state.shares
    evidence = judge.rule.log_evidence(shares, judge.share_prior, unspent)[0]
    ends = shares.bounds(judge.share_prior, alpha)
    estimates = shares.estimate()[0]
    strongest = max(watched, key=lambda slot: (evidence[slot], -slot))
    slot = strongest if evidence[strongest] > 0 else watched[0]
    ratio, span = _odds(estimates[slot], ends[0][0, slot], ends[1][0, slot])
    above_c, above_b = (
        float(events[0, slot]) / requests if requests else None
        for events, requests in ((shares.canary_events, n_c), (shares.baseline_events, n_b))
    )
    text += (
        f"; above {seconds(state.bounds[state.slots[0, slot]])}: canary {percent(above_c)} against {percent(above_b)} "
        f"({effect(ratio, span, judge.margin)}) after {number(n_c)} canary requests"
    )
    lows = [float(ends[0][0, one]) for one in watched if np.isfinite(ends[0][0, one])]
    return Reading(text, ratio, span, baseline, canary, n_b, n_c, max(lows, default=0.0))


def significant(value: float) -> float:
    """Six significant digits: what is shown, and the same on every machine."""
    return float(f"{value:.6g}")


def _odds(ratio: float, low: float, high: float) -> tuple[float | None, tuple[float, float] | None]:
    if not np.isfinite(ratio):
        return None, None
    return round(float(ratio), 4), (round(float(low), 4), round(float(high), 4))
