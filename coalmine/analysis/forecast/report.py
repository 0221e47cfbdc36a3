"""What is foretold of a plan: per step and metric, what the worst case costs, and what cannot work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from math import sqrt

from scipy.special import ndtri

from coalmine.analysis.comparison import known_history, looks_per_minute, margin_of
from coalmine.analysis.forecast.advice import Warner
from coalmine.analysis.forecast.arrival import Arrival
from coalmine.analysis.forecast.course import Course, Stretch
from coalmine.analysis.forecast.limits import burns_of, limit_of, limit_warnings
from coalmine.analysis.forecast.outlook import MOST_FALLEN, SHARE_KINDS, Outlook
from coalmine.analysis.forecast.told import Baseline, Burn, Cost, Finding, Forecast, StepForecast, When
from coalmine.records import Judge
from coalmine.spec.metrics import Metric
from coalmine.spec.steps import Step

USUAL, SURE = 0.8, 0.95
"""The chances at which requests and times are told."""
FARTHEST = timedelta(days=30)
"""How long a step is imagined to go on."""
MOST_LOOKS = 20_000
BUDGET = timedelta(days=30)
"""The period of the error budget."""
SIZES = (1.5, 2.0, 2.5, 3.0, 5.0, 10.0)
"""Regressions among which the costliest is looked for, beside those that are asked about."""


@dataclass(frozen=True)
class Forecaster:
    """One forecast in the making."""

    outlook: Outlook
    steps: Sequence[Step]
    origins: dict[str, str]
    regressions: Sequence[float]
    burning: Sequence[float] = ()
    """How many times too fast an objective's budget is burnt; none: twice each of its burn rates."""
    _arrivals: dict[tuple[str, float | None, int], Arrival] = field(default_factory=dict)

    @property
    def judge(self) -> Judge:
        return self.outlook.judge

    @property
    def metrics(self) -> list[Metric]:
        """Those that are forecast."""
        known = {*self.outlook.levels, *self.outlook.gauges}
        return [metric for metric in self.judge.metrics if metric.name in known]

    @cached_property
    def burns(self) -> list[Burn]:
        """What the windows of objectives will show."""
        return [
            burn
            for metric in self.metrics
            for burn in burns_of(metric, self.steps, self.judge.policy.look, self.burning)
        ]

    def sizes(self, metric: Metric) -> list[float]:
        """Regressions of a metric that are forecast; of a gauge or a count twice what is allowed is among them."""
        if metric.slo is not None:
            return sorted({pace.times for pace in self.burns if pace.metric == metric.name})
        if metric.kind in SHARE_KINDS:
            return sorted(self.regressions)
        sizes = {*self.regressions, round(1.0 + 2.0 * self.outlook.allowed(metric), 4)} - {1.0}
        most = MOST_FALLEN if metric.kind == "value" and metric.direction == "down" else max(sizes)
        return sorted({min(size, most) for size in sizes})

    def forecast(self) -> Forecast:
        """All of it."""
        courses = [self._endless(self.steps[: number + 1]) for number in range(len(self.steps))]
        steps = [self._step(number, course) for number, course in enumerate(courses)]
        requests = [metric for metric in self.metrics if metric.kind in SHARE_KINDS]
        costs = [cost for metric in requests if (cost := self._cost(metric, courses[-1])) is not None]
        promotable = 1.0
        for finding in steps[-1].findings:
            promotable *= finding.by_end if finding.regression is None else 1.0
        return Forecast(
            rps=self.outlook.rps,
            history=known_history(self.judge) is not None,
            baselines=[self._baseline(metric) for metric in self.metrics],
            steps=steps,
            promotable=round(promotable, 4),
            burns=self.burns,
            limits=[limit for metric in self.judge.metrics if (limit := limit_of(metric, self.judge.policy.look))],
            costs=costs,
            warnings=list(
                Warner(
                    self.outlook,
                    self.steps,
                    self.metrics,
                    {one.name: self.sizes(one) for one in self.metrics},
                    self._caught,
                ).warnings(steps, promotable)
            )
            + list(limit_warnings(self.judge.metrics, self.steps, self.judge.policy.look, self.burns)),
        )

    # ------------------------------------------------------------------------------------------------- parts

    def _looks(self, step: Step) -> int:
        return max(step.for_ // self.judge.policy.look, 1)

    def _endless(self, steps: Sequence[Step]) -> Course:
        most = min(MOST_LOOKS, FARTHEST // self.judge.policy.look)
        stretches = [Stretch(self._looks(step), step.weight / 100.0) for step in steps]
        return self.outlook.course(
            [*stretches[:-1], replace(stretches[-1], looks=max(most, stretches[-1].looks))],
            marks=[sum(stretch.looks for stretch in stretches)],
        )

    def _step(self, number: int, course: Course) -> StepForecast:
        step = self.steps[number]
        findings: list[Finding] = []
        for metric in self.metrics:
            for size in self.sizes(metric):
                arrival = self._arrival(metric, size, number, course)
                fixed = self._fixed(metric, size, step.weight / 100.0) if metric.kind in SHARE_KINDS else None
                findings.append(self._finding(metric, size, number, arrival, fixed))
            if metric.role == "guardrail":
                findings.append(self._finding(metric, None, number, self._arrival(metric, None, number, course), None))
        return StepForecast(number=number + 1, weight=step.weight, findings=findings)

    def _arrival(self, metric: Metric, size: float | None, number: int, course: Course) -> Arrival:
        key = (metric.name, size, number)
        if key not in self._arrivals:
            self._arrivals[key] = (
                self.outlook.no_harm(metric, course) if size is None else self.outlook.harm(metric, size, course)
            )
        return self._arrivals[key]

    def _before(self, number: int) -> int:
        return sum(self._looks(step) for step in self.steps[:number])

    def _finding(self, metric: Metric, size: float | None, number: int, arrival: Arrival, fixed: int | None) -> Finding:
        end = self._before(number) + self._looks(self.steps[number])
        return Finding(
            metric=metric.name,
            regression=size,
            usual=self._when(metric, number, arrival, USUAL),
            sure=self._when(metric, number, arrival, SURE),
            by_end=round(arrival.by(end), 4),
            fixed=fixed,
        )

    def _when(self, metric: Metric, number: int, arrival: Arrival, chance: float) -> When | None:
        found = arrival.looks(chance)
        if found is None:
            return None
        looks = max(found - self._before(number), 0)
        requests = looks * self.outlook.per_look * self.steps[number].weight / 100.0
        blocks = -(-looks // looks_per_minute(self.judge)) if metric.kind == "value" else None
        return When(looks=looks, lasts=looks * self.judge.policy.look, requests=round(requests), blocks=blocks)

    def _fixed(self, metric: Metric, size: float, share: float) -> int | None:
        """Canary requests of a one-sided two-sample z test of shares, one look, alpha of its own, power 80 %."""
        level, bound = self.outlook.levels[metric.name], self.outlook.watched(metric)
        p, q = level.worse(bound, size).above(bound), level.above(bound)
        if p <= q or not 0.0 < share < 1.0:
            return None
        ratio = (1.0 - share) / share
        pooled = (p + ratio * q) / (1.0 + ratio)
        wanted = -ndtri(self.judge.policy.alpha) * sqrt(pooled * (1.0 - pooled) * (1.0 + 1.0 / ratio))
        wanted += ndtri(USUAL) * sqrt(p * (1.0 - p) + q * (1.0 - q) / ratio)
        return int(-(-((wanted / (p - q)) ** 2) // 1))

    def _baseline(self, metric: Metric) -> Baseline:
        name, origin, margin = metric.name, self.origins.get(metric.name, "stated"), margin_of(self.judge, metric)
        if metric.kind == "value":
            gauge = self.outlook.gauges[name]
            return Baseline(metric=name, level=gauge.level, noise=gauge.noise, origin=origin, margin=margin)
        if metric.kind == "count":
            return Baseline(metric=name, per_hour=self.outlook.levels[name].per_hour, origin=origin, margin=margin)
        level, bound = self.outlook.levels[metric.name], self.outlook.watched(metric)
        return Baseline(
            metric=name,
            bad=float(f"{level.above(bound):.6g}"),
            slower_than=level.bounds[bound] if level.bounds else None,
            origin=origin,
            margin=margin,
        )

    def _cost(self, metric: Metric, course: Course) -> Cost | None:
        level, bound = self.outlook.levels[metric.name], self.outlook.watched(metric)
        number, end = len(self.steps) - 1, self._before(len(self.steps))
        worst: Cost | None = None
        for size in sorted({*SIZES, *self.regressions}):
            found = self._arrival(metric, size, number, course).looks(SURE)
            caught = found is not None and found <= end
            requests = self.outlook.requests(course, found if caught and found is not None else end)
            bad = requests * (level.worse(bound, size).above(bound) - level.above(bound))
            if worst is None or bad > worst.bad_requests:
                worst = Cost(
                    metric=metric.name,
                    regression=size,
                    bad_requests=round(bad),
                    canary_requests=round(requests),
                    caught=caught,
                    budget=self._budget(metric),
                )
        return worst

    def _budget(self, metric: Metric) -> int | None:
        allowed = metric.max if metric.kind == "ratio" else metric.objective and 1.0 - metric.objective.share
        return round(allowed * self.outlook.rps * BUDGET.total_seconds()) if allowed else None

    def _caught(self, number: int, metric: Metric, size: float, weight: float, rps: float) -> float:
        """Chance to catch a regression by the end of a step that has another weight, at another load."""
        changed = [*self.steps[:number], self.steps[number].model_copy(update={"weight": weight})]
        outlook = Outlook(self.judge, rps, self.outlook.levels)
        course = outlook.course([Stretch(self._looks(one), one.weight / 100.0) for one in changed])
        return float(outlook.harm(metric, size, course).chance[-1])
