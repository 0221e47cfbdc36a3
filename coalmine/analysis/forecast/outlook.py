"""What a judge will be able to say, and when: a rollout that is only planned, at a stated load and baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import log

import numpy as np

from coalmine.analysis import latency
from coalmine.analysis.comparison import (
    COLD_BURST,
    COLD_PROOF,
    EVENTS,
    KNOWN_CAP,
    NORMAL,
    SAVAGE,
    channel_names,
    channels_of,
    looks_per_minute,
    margin_of,
    prior_of,
    weights,
)
from coalmine.analysis.forecast import processes
from coalmine.analysis.forecast.arrival import Arrival, Question
from coalmine.analysis.forecast.course import Course, Stretch, chart
from coalmine.analysis.forecast.evidence import Statistic, Traffic, View
from coalmine.analysis.forecast.gauges import Gauge
from coalmine.analysis.forecast.noise import Noise
from coalmine.analysis.grids import Array
from coalmine.analysis.kinds import WEIGHTLESS, judge_of
from coalmine.analysis.value import ValueMetric
from coalmine.records import Judge
from coalmine.spec.metrics import Metric

EVENT_KINDS = ("ratio", "count")
"""Kinds that count events, and have one statistic."""
SHARE_KINDS = ("ratio", "latency")
"""Kinds that compare shares of bad requests."""
MOST_FALLEN = 2.0
"""A gauge of which less is worse falls by all of its level at most."""
_ALONE = 1e9
"""An objective is of the canary alone, as if the other version, with so many times its requests, were known exactly."""
RARE = 1e-7
"""Events without requests are forecast as those of so many more imagined requests: to count them is the limit."""


@dataclass(frozen=True)
class Level:
    """What the baseline does: the share of its requests in each bucket, [B]; those of a ratio are "no event", "event".

    ``bounds`` are the upper bounds in seconds of all buckets of a latency but the last; ``per_hour`` the events of a
    count at all the traffic.
    """

    shares: Array
    bounds: tuple[float, ...] = ()
    per_hour: float | None = None

    @staticmethod
    def of_ratio(rate: float) -> Level:
        """Events per request."""
        return Level(np.array([1.0 - rate, rate]))

    @staticmethod
    def of_count(per_hour: float) -> Level:
        """Events per hour at all the traffic."""
        return replace(Level.of_ratio(RARE), per_hour=per_hour)

    def above(self, bound: int) -> float:
        """The share of requests above a bound."""
        return float(self.shares[bound + 1 :].sum())

    def worse(self, bound: int, times: float) -> Level:
        """The odds of a request above this bound multiplied; on either side buckets keep their proportions."""
        share = self.above(bound)
        odds = times * share / (1.0 - share) if share < 1.0 else np.inf
        more = odds / (1.0 + odds) if np.isfinite(odds) else 1.0
        slower, rest = more / max(share, 1e-300), (1.0 - more) / max(1.0 - share, 1e-300)
        scale = np.where(np.arange(self.shares.size) > bound, slower, rest)
        return replace(self, shares=self.shares * scale)


@dataclass(frozen=True)
class GaugeLevel:
    """What a gauge of the baseline does: its level, in its own unit, and how it scatters."""

    level: float
    noise: float
    """Standard deviation of a block's difference between two like versions, as a part of the level."""


class Outlook:
    """Answers for one judge at one load: requests per second of both arms together."""

    def __init__(
        self,
        judge: Judge,
        rps: float,
        levels: Mapping[str, Level],
        gauges: Mapping[str, GaugeLevel] | None = None,
    ) -> None:
        self.judge, self.rps = judge, rps
        self.per_look = rps * judge.policy.look.total_seconds()
        self.levels = levels
        self.gauges = gauges or {}
        self._block = looks_per_minute(judge)
        guards = [m for m in judge.metrics if m.role == "guardrail" and m.kind == "ratio"]
        self._harm_weights, self._crash_weights = weights(judge.metrics, guards)

    def course(self, stretches: Sequence[Stretch], marks: Sequence[int] = ()) -> Course:
        """The looks of these stretches; ``marks`` are looks at which a chance will be asked for."""
        return chart(stretches, self.judge.planned_looks, marks)

    def watched(self, metric: Metric) -> int:
        """The bound a regression of this metric is stated at: the objective's, else the one next to p97."""
        level = self.levels[metric.name]
        if metric.kind in EVENT_KINDS:
            return 0
        slots = dict(self._bounds(metric, Traffic(level.shares[None], level.shares[None])))
        return slots[min(slots)]

    def allowed(self, metric: Metric) -> float:
        """By how much a gauge or a count may be worse and is no harm, as a part of the baseline's."""
        margin, name = margin_of(self.judge, metric) - 1.0, metric.name
        if metric.kind == "value":
            return max(margin, metric.tolerance / self.gauges[name].level)
        return max(margin, metric.tolerance / (self.levels[name].per_hour or 1.0) - 1.0)

    def harm(self, metric: Metric, times: float, course: Course, *, onset: int = 0) -> Arrival:
        """When a regression is caught that multiplies the odds of a bad request, from stretch ``onset`` on.

        Of a count it multiplies the events (divides them, where fewer are worse), of a gauge the level; of an objective
        it is how fast the canary burns. Those two are there from the start.
        """
        if metric.kind == "value":
            return self._of_gauge(metric, course, times - 1.0)
        if metric.kind == "slo":
            return self._of_burn(metric, course, times)
        traffic = self._traffic(metric, times, course, onset)
        rule, known = self._rule(metric), bool(channels_of(self.judge, metric))
        slots = self._slots(metric, traffic)
        guard = None
        if metric.kind in EVENT_KINDS:
            evidence, statistics = processes.share_harm(traffic, slots[0], rule), slots
            if metric.name in self._crash_weights:
                guard = processes.crash(traffic, slots[0], rule.margin)
        else:
            noises = (self._noise(metric, NORMAL), self._noise(metric, SAVAGE))
            evidence, scores = processes.latency_harm(traffic, slots, noises, rule, self._block)
            statistics = [*slots, *scores]
        weight = self._weight(metric)

        def decisive(view: View) -> Array:
            found = evidence(view) + weight
            if guard is None:
                return found
            return np.logaddexp(found, guard(view) + log(self._crash_weights[metric.name]))

        needed = log(1.0 / self.judge.policy.alpha)
        cap = (KNOWN_CAP if known else 1.0) * needed
        return Question(course, traffic, cap, decisive, needed, statistics).arrival()

    def no_harm(self, metric: Metric, course: Course) -> Arrival:
        """When a release without change is shown to be without harm."""
        if metric.kind == "value":
            return self._of_gauge(metric, course, None)
        if metric.kind == "slo":
            return self._of_burn(metric, course, None)
        traffic = self._traffic(metric, 1.0, course, 0)
        required = self._slots(metric, traffic)[: self._required(metric)]
        known, enough = bool(channels_of(self.judge, metric)), log(1.0 / self.judge.policy.beta)
        cap = (KNOWN_CAP if known else 1.0) * log(1.0 / self.judge.policy.alpha)
        rule = replace(self._rule(metric), proof_burst=1.0 if known else min(COLD_PROOF * enough / cap, 1.0))
        if metric.kind == "count":
            evidence = processes.count_no_harm(traffic, required[0], rule)
        else:
            evidence = processes.latency_no_harm(traffic, required, rule)
        return Question(course, traffic, cap, evidence, enough, required, rises=False).arrival()

    def requests(self, course: Course, look: int) -> float:
        """Canary requests by a look, expected."""
        looks = course.looks[-1]
        starts = np.cumsum(looks) - looks
        return float((np.clip(look - starts, 0, looks) * course.share).sum() * self.per_look)

    def _weight(self, metric: Metric) -> float:
        """``ln`` of the part of the evidence that is this metric's."""
        signals = sum(one.role == "signal" and one.kind not in WEIGHTLESS for one in self.judge.metrics)
        return log(1.0 / signals if metric.role == "signal" else self._harm_weights[metric.name])

    def _of_gauge(self, metric: Metric, course: Course, excess: float | None) -> Arrival:
        """When an excess, as a part of the level, is caught; None: when no harm is shown."""
        known, policy = self.gauges[metric.name], self.judge.policy
        judge = judge_of(metric, margin_of(self.judge, metric), prior_of(self.judge, metric), policy)
        assert isinstance(judge, ValueMetric)
        gauge = Gauge(replace(judge, tolerance=judge.tolerance / known.level), known.noise)
        blocks = course.at // self._block
        if excess is None:
            at, chance = gauge.no_harm(log(1.0 / policy.beta), int(blocks[-1]))
        else:
            at, chance = gauge.harm(excess, log(1.0 / policy.alpha) - self._weight(metric), int(blocks[-1]))
        # Chances that are the same must not differ by rounding: they would be told apart.
        return Arrival(course, np.round(np.interp(blocks, [at[0] - 1, *at], [0.0, *chance]), 9))

    def _of_burn(self, metric: Metric, course: Course, times: float | None) -> Arrival:
        """When a canary is caught that burns so many times too fast from the start; None: when it is shown not to."""
        assert metric.slo is not None
        allowed, policy = 1.0 - metric.slo.objective, self.judge.policy
        level = self.levels[metric.name] if times is None else Level.of_ratio(min(times * allowed, 1.0 - 1e-9))
        canary = (self.per_look * course.share)[:, None] * level.shares
        traffic = Traffic(canary, _ALONE * canary)
        limits = [min(burn.rate * allowed, 1.0 - 1e-9) for burn in metric.slo.burn]
        statistic = processes.burn_statistic(traffic, min(limits), self._block)
        cap = log(1.0 / policy.alpha)
        if times is None:
            evidence = processes.burn_no_harm(traffic, statistic, min(limits))
            return Question(course, traffic, cap, evidence, log(1.0 / policy.beta), [statistic], rises=False).arrival()
        shown = [limit for limit in limits if level.above(0) >= limit]
        if not shown:
            return Arrival(course, np.zeros(course.size))
        harm = processes.burn_harm(traffic, statistic, shown, len(limits), COLD_BURST)
        return Question(course, traffic, cap, harm, cap - self._weight(metric), [statistic]).arrival()

    def _rule(self, metric: Metric) -> processes.Rule:
        burst = 1.0 if channels_of(self.judge, metric) else COLD_BURST
        floor = metric.floor
        if metric.kind == "count":
            per_hour = self.levels[metric.name].per_hour or 0.0
            floor = metric.tolerance * RARE / per_hour
        return processes.Rule(margin_of(self.judge, metric), floor, metric.no_harm, burst)

    def _traffic(self, metric: Metric, times: float, course: Course, onset: int) -> Traffic:
        level, per_look, fewer = (
            self.levels[metric.name],
            self.per_look,
            metric.kind == "count" and metric.direction == "down",
        )
        if level.per_hour is not None:
            per_look = level.per_hour / RARE * (self.judge.policy.look / timedelta(hours=1))
        worse = level.worse(self.watched(metric), 1.0 / times if fewer else times).shares
        faulty = (np.arange(course.share.size) >= onset)[:, None]
        canary = (per_look * course.share)[:, None] * np.where(faulty, worse, level.shares)
        baseline = (per_look * (1.0 - course.share))[:, None] * level.shares
        # Too few in the canary is too many in the baseline.
        return Traffic(baseline, canary) if fewer else Traffic(canary, baseline)

    def _slots(self, metric: Metric, traffic: Traffic) -> list[Statistic]:
        if metric.kind in EVENT_KINDS:
            return [self._statistic(metric, traffic, np.array([0.0, 1.0]), EVENTS)]
        names = channel_names(metric)[2:]
        buckets = np.arange(traffic.canary.shape[1])
        return [
            self._statistic(metric, traffic, (buckets > bound).astype(float), names[slot])
            for slot, bound in self._bounds(metric, traffic)
        ]

    def _statistic(self, metric: Metric, traffic: Traffic, on: Array, channel: str) -> Statistic:
        noise = self._noise(metric, channel)
        return processes.events_statistic(traffic, on, noise, margin_of(self.judge, metric), self._block)

    def _required(self, metric: Metric) -> int:
        """How many of the first statistics must show no harm: p97's and the objective's, which may be one."""
        if metric.kind in EVENT_KINDS:
            return 1
        level = self.levels[metric.name]
        slots = self._bounds(metric, Traffic(level.shares[None], level.shares[None]))
        return sum(slot < (1 if metric.objective is None else 2) for slot, _ in slots)

    def _bounds(self, metric: Metric, traffic: Traffic) -> list[tuple[int, int]]:
        """Slot and index of each bound that is watched."""
        learnt = prior_of(self.judge, metric).part(slice(2, None)).bounds
        places = None if learnt is None else latency.places(self.levels[metric.name].bounds, learnt)
        return processes.latency_slots(traffic, self._objective(metric), places)

    def _objective(self, metric: Metric) -> int | None:
        if metric.objective is None:
            return None
        return latency.objective_bound(self.levels[metric.name].bounds, metric.objective.under.total_seconds())

    def _noise(self, metric: Metric, channel: str) -> Noise:
        channels = channels_of(self.judge, metric)
        history = self.judge.history
        if not channels or history is None:
            return Noise()
        return Noise(channels[channel].tau2, float(history.looks), channels[channel].information)
