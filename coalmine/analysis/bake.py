"""The judge at 100 %: only the canary runs, so it is held to absolute limits, and to the crash guard's first half.

The limits are another null than the comparison's, met at another time; they have ``alpha`` of their own, so a release
without fault is rolled back with a chance of at most alpha in the steps and at most alpha in the bake. There is no
direction "no harm" here: a bake ends well when its time is over and no limit was violated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from coalmine.analysis import grids, mixture
from coalmine.analysis.channels import Counts, Pace
from coalmine.analysis.comparison import looks_per_minute, weights
from coalmine.analysis.crash import Crash
from coalmine.analysis.dispersion import Dispersion, Prior
from coalmine.analysis.grids import Array, Mask, Numeric
from coalmine.analysis.increments import one_sample
from coalmine.analysis.kinds import WEIGHTLESS, AnyCounts, AnyState, MetricJudge, judge_of, weigh
from coalmine.analysis.metrics import Weighed
from coalmine.analysis.tempering import tempered
from coalmine.analysis.trees import Capital, Count
from coalmine.records import Judge
from coalmine.spec.metrics import Metric

_SPREAD = timedelta(hours=1)
"""A bake's cash is invested over about this time: what is left shrinks by the same part at each look."""
_COLD = Prior(np.zeros(1), np.zeros(1, bool))
ABSOLUTE = ("slo", "threshold")
"""Kinds that are absolute anyway: judged here as in the steps, from evidence of their own."""

SHOWN = ("value", "count")
"""Kinds that have no absolute limit: shown, not judged."""


def limit_of(metric: Metric) -> float | None:
    """The largest share allowed: of events, or of requests above the objective's bound; None without a limit."""
    if metric.kind == "ratio":
        return metric.max
    return 1.0 - metric.objective.share if metric.objective is not None else None


@dataclass(frozen=True)
class OneArm:
    """State of one metric with a limit, [S, 1, ...]."""

    canary: Count
    canary_events: Count
    capital: Capital
    noise: Dispersion
    crash: Crash

    @staticmethod
    def start(size: int) -> OneArm:
        """Nothing seen, for ``size`` runs."""
        shape = (size, 1)
        return OneArm(
            np.zeros(shape),
            np.zeros(shape),
            mixture.empty(shape, grids.HARM_RATIOS.size),
            Dispersion.start(shape),
            Crash.start(shape),
        )


@dataclass(frozen=True)
class LevelCounts:
    """One window of one metric for a batch, each [S]: requests, and events (or requests above the bound)."""

    canary: Numeric
    canary_events: Numeric
    present: Mask


@dataclass(frozen=True)
class BakeState:
    """The evidence of a batch in its bake; the cash spent and the looks are the same for all its runs."""

    looks: int
    spent: float
    metrics: tuple[OneArm | AnyState, ...]


@dataclass(frozen=True)
class BakeVerdicts:
    """``ln E`` over the batch [S]: guardrails together, crash guards alone, signals together, metrics by name."""

    harm: Array
    crash: Array
    signals: Array
    metrics: dict[str, Array]
    absolute: dict[str, Weighed]
    """Of the kinds that are absolute anyway."""


class Bake:
    """Absolute limits of all metrics that have one; the others are shown, not judged."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.metrics = tuple(judge.metrics)
        self.limits = {metric.name: limit for metric in judge.metrics if (limit := limit_of(metric)) is not None}
        self.absolute: dict[str, MetricJudge] = {
            metric.name: judge_of(metric, 1.0, _COLD, judge.policy)
            for metric in judge.metrics
            if metric.kind in ABSOLUTE
        }
        self.judged = {*self.limits, *self.absolute}
        """Names of the metrics that are judged here; the others are shown."""
        limited = [metric for metric in judge.metrics if metric.name in self.judged]
        guards = [metric for metric in judge.metrics if metric.role == "guardrail" and metric.kind == "ratio"]
        self.harm_weights, self.crash_weights = weights(limited, guards)
        self._looks_to_spread = max(2.0, _SPREAD / judge.policy.look)

    def start(self, size: int) -> BakeState:
        """Nothing seen."""
        return BakeState(
            0,
            0.0,
            tuple(
                self.absolute[metric.name].start(size) if metric.name in self.absolute else OneArm.start(size)
                for metric in self.metrics
            ),
        )

    def update(self, state: BakeState, counts: Sequence[LevelCounts | AnyCounts]) -> BakeState:
        """Fold one look in: one window per metric, in the judge's order."""
        left = 1.0 - state.spent
        weight = mixture.FIRST_SHARE if state.looks == 0 else left / self._looks_to_spread
        spent = min(1.0, state.spent + weight)
        cap = float(np.log(1.0 / self.judge.policy.alpha))
        pace = Pace(weight, cap, looks_per_minute(self.judge))
        arms = tuple(
            self.absolute[metric.name].update(before, window, pace)
            if metric.name in self.absolute
            else self._fold(metric, before, window, pace)
            for metric, before, window in zip(self.metrics, state.metrics, counts, strict=True)
        )
        return BakeState(state.looks + 1, spent, arms)

    def weigh(self, state: BakeState) -> BakeVerdicts:
        """The evidence so far."""
        unspent = 1.0 - state.spent
        levels: dict[str, Array] = {}
        crashes: dict[str, Array] = {}
        absolute: dict[str, Weighed] = {}
        for metric, arm in zip(self.metrics, state.metrics, strict=True):
            if metric.name in self.absolute:
                absolute[metric.name] = weigh(self.absolute[metric.name], arm, unspent)
                levels[metric.name] = absolute[metric.name].harm
                continue
            crashes[metric.name] = arm.crash.log_evidence(unspent, alone=True)[:, 0]
            evidence = np.zeros(arm.canary.shape[0])
            if metric.name in self.limits:
                phi = arm.noise.lagged(_COLD, np.ones(1))
                evidence = tempered(arm.capital, grids.HARM_LOG_PRIOR, phi, unspent)[:, 0]
                few = arm.canary_events[:, 0] < grids.MIN_EVENTS
                evidence = np.where(few, np.minimum(evidence, 0.0), evidence)
            levels[metric.name] = evidence
        none = np.full(next(iter(levels.values())).shape, -np.inf)
        harm = [levels[name] + np.log(weight) for name, weight in self.harm_weights.items()]
        crash = [crashes[name] + np.log(weight) for name, weight in self.crash_weights.items()]
        signals = [levels[name] for name in self.signals]
        return BakeVerdicts(
            harm=mixture.log_sum(np.stack([*harm, *crash, none], axis=-1)),
            crash=mixture.log_sum(np.stack([*crash, none], axis=-1)),
            signals=mixture.log_sum(np.stack([*signals, none], axis=-1)) - np.log(max(len(signals), 1)),
            metrics=levels,
            absolute=absolute,
        )

    @property
    def signals(self) -> list[str]:
        """Names of the signals whose evidence is judged."""
        return [
            metric.name
            for metric in self.metrics
            if metric.role == "signal" and metric.name in self.judged and metric.kind not in WEIGHTLESS
        ]

    def _fold(self, metric: Metric, arm: OneArm, window: LevelCounts, pace: Pace) -> OneArm:
        present = window.present[:, None]
        n = np.where(present, np.asarray(window.canary, float)[:, None], 0.0)
        x = np.where(present, np.asarray(window.canary_events, float)[:, None], 0.0)
        look = Counts(n, x, np.zeros_like(n), np.zeros_like(n))
        after = replace(
            arm,
            canary=arm.canary + n,
            canary_events=arm.canary_events + x,
            crash=arm.crash.fold(look, None, pace.log_weight),
        )
        limit = self.limits.get(metric.name)
        if limit is None:
            return after
        increments = one_sample(x, n, limit, grids.HARM_RATIOS)
        variance = limit * (1.0 - limit)
        noise = arm.noise.add(x - limit * n, n * variance, n * variance, pace.block, present)
        rate = (after.canary_events + 0.5) / (after.canary + 1.0)
        scale = np.clip(rate * (1.0 - rate) / variance, 0.05, 20.0)
        noise = noise.remember(noise.observed(scale, noise=1.0)[0], present)
        return replace(after, capital=mixture.fold(arm.capital, pace.log_weight, increments, pace.cap), noise=noise)
