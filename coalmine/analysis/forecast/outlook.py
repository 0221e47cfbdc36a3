"""What a judge will be able to say, and when: a rollout that is only planned, at a stated load and baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from coalmine.analysis import latency
from coalmine.analysis.comparison import (
    COLD_BURST,
    EVENTS,
    KNOWN_CAP,
    NORMAL,
    SAVAGE,
    channel_names,
    channels_of,
    looks_per_minute,
    margin_of,
    weights,
)
from coalmine.analysis.forecast import processes
from coalmine.analysis.forecast.arrival import Arrival, Question
from coalmine.analysis.forecast.course import Course, Stretch, chart
from coalmine.analysis.forecast.evidence import Statistic, Traffic, View
from coalmine.analysis.forecast.noise import Noise
from coalmine.analysis.grids import Array
from coalmine.records import Judge
from coalmine.spec.canary import Metric


@dataclass(frozen=True)
class Level:
    """What the baseline does: the share of its requests in each bucket, [B]; those of a ratio are "no event", "event".

    ``bounds`` are the upper bounds in seconds of all buckets of a latency but the last.
    """

    shares: Array
    bounds: tuple[float, ...] = ()

    @staticmethod
    def of_ratio(rate: float) -> Level:
        """Events per request."""
        return Level(np.array([1.0 - rate, rate]))

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
        return Level(self.shares * scale, self.bounds)


class Outlook:
    """Answers for one judge at one load: requests per second of both arms together."""

    def __init__(self, judge: Judge, rps: float, levels: Mapping[str, Level]) -> None:
        self.judge, self.rps = judge, rps
        self.per_look = rps * judge.policy.look.total_seconds()
        self.levels = levels
        self._block = looks_per_minute(judge)
        guards = [m for m in judge.metrics if m.role == "guardrail" and m.kind == "ratio"]
        self._harm_weights, self._crash_weights = weights(judge.metrics, guards)

    def course(self, stretches: Sequence[Stretch], marks: Sequence[int] = ()) -> Course:
        """The looks of these stretches; ``marks`` are looks at which a chance will be asked for."""
        return chart(stretches, self.judge.planned_looks, marks)

    def watched(self, metric: Metric) -> int:
        """The bound a regression of this metric is stated at: the objective's, else the one next to p97."""
        level = self.levels[metric.name]
        if metric.kind == "ratio":
            return 0
        slots = dict(processes.latency_slots(Traffic(level.shares[None], level.shares[None]), self._objective(metric)))
        return slots[min(slots)]

    def harm(self, metric: Metric, times: float, course: Course, *, onset: int = 0) -> Arrival:
        """When a regression is caught that multiplies the odds of a bad request, from stretch ``onset`` on."""
        traffic = self._traffic(metric, times, course, onset)
        rule, known = self._rule(metric), bool(channels_of(self.judge, metric))
        slots = self._slots(metric, traffic)
        guard = None
        if metric.kind == "ratio":
            evidence, statistics = processes.share_harm(traffic, slots[0], rule), slots
            if metric.name in self._crash_weights:
                guard = processes.crash(traffic, slots[0], rule.margin)
        else:
            noises = (self._noise(metric, NORMAL), self._noise(metric, SAVAGE))
            evidence, scores = processes.latency_harm(traffic, slots, noises, rule, self._block)
            statistics = [*slots, *scores]
        signals = sum(one.role == "signal" for one in self.judge.metrics)
        weight = log(1.0 / signals if metric.role == "signal" else self._harm_weights[metric.name])

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
        traffic = self._traffic(metric, 1.0, course, 0)
        required = self._slots(metric, traffic)[: self._required(metric)]
        rule, known = self._rule(metric), bool(channels_of(self.judge, metric))
        needed = log(1.0 / self.judge.policy.alpha)
        cap = (KNOWN_CAP if known else 1.0) * needed
        evidence = processes.latency_no_harm(traffic, required, rule)
        enough = log(1.0 / self.judge.policy.beta)
        return Question(course, traffic, cap, evidence, enough, required, rises=False).arrival()

    def requests(self, course: Course, look: int) -> float:
        """Canary requests by a look, expected."""
        looks = course.looks[-1]
        starts = np.cumsum(looks) - looks
        return float((np.clip(look - starts, 0, looks) * course.share).sum() * self.per_look)

    def _rule(self, metric: Metric) -> processes.Rule:
        burst = 1.0 if channels_of(self.judge, metric) else COLD_BURST
        return processes.Rule(margin_of(self.judge, metric), metric.floor, metric.no_harm, burst)

    def _traffic(self, metric: Metric, times: float, course: Course, onset: int) -> Traffic:
        level = self.levels[metric.name]
        worse = level.worse(self.watched(metric), times).shares
        faulty = (np.arange(course.share.size) >= onset)[:, None]
        canary = (self.per_look * course.share)[:, None] * np.where(faulty, worse, level.shares)
        baseline = (self.per_look * (1.0 - course.share))[:, None] * level.shares
        return Traffic(canary, baseline)

    def _slots(self, metric: Metric, traffic: Traffic) -> list[Statistic]:
        if metric.kind == "ratio":
            return [self._statistic(metric, traffic, np.array([0.0, 1.0]), EVENTS)]
        names = channel_names(metric)[2:]
        buckets = np.arange(traffic.canary.shape[1])
        return [
            self._statistic(metric, traffic, (buckets > bound).astype(float), names[slot])
            for slot, bound in processes.latency_slots(traffic, self._objective(metric))
        ]

    def _statistic(self, metric: Metric, traffic: Traffic, on: Array, channel: str) -> Statistic:
        noise = self._noise(metric, channel)
        return processes.events_statistic(traffic, on, noise, margin_of(self.judge, metric), self._block)

    def _required(self, metric: Metric) -> int:
        """How many of the first statistics must show no harm: p97's and the objective's, which may be one."""
        if metric.kind == "ratio":
            return 1
        level = self.levels[metric.name]
        slots = processes.latency_slots(Traffic(level.shares[None], level.shares[None]), self._objective(metric))
        return sum(slot < (1 if metric.objective is None else 2) for slot, _ in slots)

    def _objective(self, metric: Metric) -> int | None:
        if metric.objective is None:
            return None
        return latency.objective_bound(self.levels[metric.name].bounds, metric.objective.under.total_seconds())

    def _noise(self, metric: Metric, channel: str) -> Noise:
        channels = channels_of(self.judge, metric)
        history = self.judge.history
        return Noise(channels[channel].tau2, float(history.looks)) if channels and history else Noise()
