"""The kinds of metrics: one class for each, behind one small interface, and what they weigh in the one decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from coalmine.analysis.channels import Pace
from coalmine.analysis.count import CountMetric
from coalmine.analysis.dispersion import Prior
from coalmine.analysis.grids import Array
from coalmine.analysis.metrics import LatencyMetric, RatioMetric, Weighed
from coalmine.analysis.readings import Reading
from coalmine.analysis.slo import SloMetric
from coalmine.analysis.tempering import Weighing, weighed_together
from coalmine.analysis.threshold import ThresholdMetric
from coalmine.analysis.value import ValueMetric
from coalmine.analysis.windows import Bounds, MetricWindow
from coalmine.errors import InputError
from coalmine.spec.canary import Policy
from coalmine.spec.metrics import Metric

AnyState = Any
"""A dataclass of arrays with a leading batch axis [S], walked by ``coalmine.analysis.trees``."""
AnyCounts = Any
"""One window for a batch: a dataclass of arrays [S, ...] with ``present`` [S]."""

GROUP_OF = {"ratio": "ratio", "latency": "latency", "value": "further", "count": "further", "slo": "further"}
GROUP_WEIGHTS = {"ratio": 0.48, "latency": 0.48, "further": 0.24}
"""Weight of the evidence of each group of kinds, before those present are made to sum to 1."""
WEIGHTLESS = frozenset({"threshold"})
"""Kinds that give facts and no evidence."""


class MetricJudge(Protocol):
    """What judges one metric with both arms running, over a batch [S]; pure."""

    @property
    def margin(self) -> float | None:
        """The effect up to which there is no harm; None when the kind has none."""
        ...

    @property
    def counts(self) -> type[Any]:
        """The class of its windows."""
        ...

    def start(self, size: int, bounds: Bounds = ()) -> AnyState:
        """Nothing seen, for ``size`` runs; ``bounds`` of a histogram when they are known."""
        ...

    def update(self, state: AnyState, counts: AnyCounts, pace: Pace) -> AnyState:
        """Fold one window in. Where it is missing nothing changes."""
        ...

    def weighing(self, state: AnyState, unspent: float) -> Weighing[Weighed]:
        """The evidence so far; ``unspent`` is the cash not invested yet."""
        ...

    def take(
        self, bounds: Bounds, window: MetricWindow, share: float | None, reason: str
    ) -> tuple[Bounds, AnyCounts, str]:
        """One run's checked window as a batch of one.

        Args:
            bounds: of the run's evidence; returned changed when the window asks for others.
            window: what was collected.
            share: the canary's share of the traffic, 0-1; None when it changed within the window.
            reason: why the window is missing; empty when it is not.

        Returns:
            The bounds, the window on them, and why it is missing.
        """
        ...

    def seen(self, state: AnyState) -> tuple[Array, Array] | None:
        """Requests of canary and baseline so far, each [...]; None when the kind counts none: silence says nothing."""
        ...

    def read(self, names: Sequence[str], state: AnyState, weighed: Weighed, alpha: float) -> list[Reading]:
        """Effect, interval and sentence of one run: of each metric of its state, [1] or [1, M]."""
        ...


def _ratio(metric: Metric, margin: float, prior: Prior, policy: Policy) -> MetricJudge:
    return RatioMetric(margin, metric.floor, metric.no_harm, prior)


def _latency(metric: Metric, margin: float, prior: Prior, policy: Policy) -> MetricJudge:
    objective = metric.objective.under.total_seconds() if metric.objective is not None else None
    scores, shares = prior.part(slice(0, 2)), prior.part(slice(2, None))
    return LatencyMetric(margin, metric.floor, metric.no_harm, scores, shares, objective)


def _value(metric: Metric, margin: float, prior: Prior, policy: Policy) -> MetricJudge:
    return ValueMetric(
        margin,
        metric.no_harm,
        metric.tolerance,
        metric.direction == "down",
        metric.suffix or "",
        max(policy.look, timedelta(minutes=1)).total_seconds(),
        prior,
    )


def _count(metric: Metric, margin: float, prior: Prior, policy: Policy) -> MetricJudge:
    down, look = metric.direction == "down", policy.look.total_seconds()
    return CountMetric(margin, metric.no_harm, metric.tolerance, prior, down, look)


def _slo(metric: Metric, margin: float, prior: Prior, policy: Policy) -> MetricJudge:
    if metric.slo is None:
        raise InputError(f"metrics.{metric.name}.slo: missing: write slo: {{objective: 0.999}}")
    return SloMetric(metric.slo, policy.look.total_seconds())


def _threshold(metric: Metric, margin: float, prior: Prior, policy: Policy) -> MetricJudge:
    if metric.limits is None:
        raise InputError(f"metrics.{metric.name}.limits: missing: write limits: {{max: ...}}, or min, or both")
    return ThresholdMetric(metric.limits, metric.suffix or "")


_MAKERS: Mapping[str, Callable[[Metric, float, Prior, Policy], MetricJudge]] = {
    "ratio": _ratio,
    "latency": _latency,
    "value": _value,
    "count": _count,
    "slo": _slo,
    "threshold": _threshold,
}


def weigh(judge: MetricJudge, state: AnyState, unspent: float) -> Weighed:
    """The evidence of one metric so far, by itself."""
    return weighed_together([judge.weighing(state, unspent)], unspent)[0]


def judge_of(metric: Metric, margin: float, prior: Prior, policy: Policy) -> MetricJudge:
    """The judge of a metric while both arms run.

    Args:
        metric: what the spec says.
        margin: its own, or the default that fits what is known of its noise.
        prior: what is known of the noise of its channels.
        policy: its look, alpha and beta.
    """
    return _MAKERS[metric.kind](metric, margin, prior, policy)
