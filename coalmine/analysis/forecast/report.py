"""What a plan foretells, in the form it is told in: per step and metric, what it would cost, and what cannot work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import sqrt

from pydantic import BaseModel, ConfigDict
from scipy.stats import norm

from coalmine.analysis.comparison import known_history, margin_of
from coalmine.analysis.forecast.arrival import Arrival
from coalmine.analysis.forecast.course import Course, Stretch
from coalmine.analysis.forecast.outlook import Outlook
from coalmine.analysis.sentences import percent, times
from coalmine.records import Judge
from coalmine.spec.canary import Metric, Step
from coalmine.spec.durations import Duration, format_duration

USUAL, SURE = 0.8, 0.95
"""The chances at which requests and times are told."""
CANNOT, SELDOM = 0.05, 0.5
"""A step that catches a regression less often than this cannot decide, or seldom does."""
LOW_TRAFFIC = 10.0
"""Requests per second below which a canary is slow whatever its steps are."""
FARTHEST = timedelta(days=30)
"""How long a step is imagined to go on."""
MOST_LOOKS = 20_000
BUDGET = timedelta(days=30)
"""The period of the error budget."""
SIZES = (1.5, 2.0, 3.0, 5.0, 10.0, 100.0)
"""Regressions among which the costliest is looked for, beside those that are asked about."""
WEIGHTS = (2.0, 5.0, 10.0, 20.0, 30.0, 50.0)
"""Weights that are tried when a step cannot decide."""


class Told(BaseModel):
    """Base of what is told; durations are ``5m`` in JSON."""

    model_config = ConfigDict(frozen=True)


class When(Told):
    """Counted from the start of the step: 0 looks = already in a step before."""

    looks: int
    lasts: Duration
    requests: int
    """Canary requests in this step, expected."""


class Finding(Told):
    """One thing the judge may find in one metric, if the step lasts as long as it takes."""

    metric: str
    regression: float | None
    """How many times the odds of a bad request; None: no regression, no harm is to be shown."""
    usual: When | None
    """With a chance of 80 %; None: not within a month."""
    sure: When | None
    """With a chance of 95 %."""
    by_end: float
    """Chance that it has been found by the planned end of the step."""
    fixed: int | None = None
    """Canary requests a test that may look once only would need for 80 %; None for no harm."""


class StepForecast(Told):
    """One step; a regression is there from the start of the rollout, and what earlier steps saw of it counts."""

    number: int
    weight: float
    findings: list[Finding]


class Baseline(Told):
    """What was assumed of one metric's baseline."""

    metric: str
    bad: float
    """Share of bad requests: events, or requests slower than ``slower_than``."""
    slower_than: float | None = None
    """Seconds; None for a ratio."""
    origin: str
    margin: float


class Cost(Told):
    """The most bad requests a regression of one metric adds until it is caught (95 %), or the plan's steps are over."""

    metric: str
    regression: float
    bad_requests: int
    canary_requests: int
    caught: bool
    """Whether it is caught within the steps with 95 %; else it costs this much and the rollout goes on."""
    budget: int | None
    """Bad requests the absolute limit allows in 30 days at this load; None without a limit."""


class Forecast(Told):
    """Everything ``coalmine plan`` foretells."""

    rps: float
    history: bool
    """Whether the service's noise is known."""
    baselines: list[Baseline]
    steps: list[StepForecast]
    promotable: float
    """Chance that a release without change is shown to be without harm, in all guardrails, by the end of the steps."""
    costs: list[Cost]
    warnings: list[str]


@dataclass(frozen=True)
class Forecaster:
    """One forecast in the making."""

    outlook: Outlook
    steps: Sequence[Step]
    origins: dict[str, str]
    regressions: Sequence[float]
    _arrivals: dict[tuple[str, float | None, int], Arrival] = field(default_factory=dict)

    @property
    def judge(self) -> Judge:
        return self.outlook.judge

    @property
    def metrics(self) -> list[Metric]:
        """Those that are forecast."""
        return [metric for metric in self.judge.metrics if metric.name in self.outlook.levels]

    def forecast(self) -> Forecast:
        """All of it."""
        courses = [self._endless(self.steps[: number + 1]) for number in range(len(self.steps))]
        steps = [self._step(number, course) for number, course in enumerate(courses)]
        costs = [cost for metric in self.metrics if (cost := self._cost(metric, courses[-1])) is not None]
        promotable = 1.0
        for finding in steps[-1].findings:
            promotable *= finding.by_end if finding.regression is None else 1.0
        return Forecast(
            rps=self.outlook.rps,
            history=known_history(self.judge) is not None,
            baselines=[self._baseline(metric) for metric in self.metrics],
            steps=steps,
            promotable=round(promotable, 4),
            costs=costs,
            warnings=list(self._warnings(steps, promotable)),
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
            for size in self.regressions:
                arrival = self._arrival(metric, size, number, course)
                fixed = self._fixed(metric, size, step.weight / 100.0)
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

    def _finding(
        self, metric: Metric, size: float | None, number: int, arrival: Arrival, fixed: int | None
    ) -> Finding:
        end = self._before(number) + self._looks(self.steps[number])
        return Finding(
            metric=metric.name,
            regression=size,
            usual=self._when(number, arrival, USUAL),
            sure=self._when(number, arrival, SURE),
            by_end=round(arrival.by(end), 4),
            fixed=fixed,
        )

    def _when(self, number: int, arrival: Arrival, chance: float) -> When | None:
        found = arrival.looks(chance)
        if found is None:
            return None
        looks = max(found - self._before(number), 0)
        requests = looks * self.outlook.per_look * self.steps[number].weight / 100.0
        return When(looks=looks, lasts=looks * self.judge.policy.look, requests=round(requests))

    def _fixed(self, metric: Metric, size: float, share: float) -> int | None:
        """Canary requests of a one-sided two-sample z test of shares, one look, alpha of its own, power 80 %."""
        level, bound = self.outlook.levels[metric.name], self.outlook.watched(metric)
        p, q = level.worse(bound, size).above(bound), level.above(bound)
        if p <= q or not 0.0 < share < 1.0:
            return None
        ratio = (1.0 - share) / share
        pooled = (p + ratio * q) / (1.0 + ratio)
        wanted = norm.isf(self.judge.policy.alpha) * sqrt(pooled * (1.0 - pooled) * (1.0 + 1.0 / ratio))
        wanted += norm.ppf(USUAL) * sqrt(p * (1.0 - p) + q * (1.0 - q) / ratio)
        return int(-(-((wanted / (p - q)) ** 2) // 1))

    def _baseline(self, metric: Metric) -> Baseline:
        level, bound = self.outlook.levels[metric.name], self.outlook.watched(metric)
        return Baseline(
            metric=metric.name,
            bad=float(f"{level.above(bound):.6g}"),
            slower_than=level.bounds[bound] if level.bounds else None,
            origin=self.origins.get(metric.name, "stated"),
            margin=margin_of(self.judge, metric),
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

    # ---------------------------------------------------------------------------------------------- warnings

    def _warnings(self, steps: Sequence[StepForecast], promotable: float) -> Iterator[str]:
        if self.outlook.rps < LOW_TRAFFIC:
            yield (
                f"{self.outlook.rps:g} requests/s is little: below {LOW_TRAFFIC:g} a canary takes long whatever its "
                "steps are; longer steps, more weight early, or synthetic traffic to both versions help"
            )
        for metric in self.metrics:
            yield from self._pointless(metric)
        for number, step in enumerate(steps):
            yield from self._undecided(number, step)
        if promotable < USUAL:
            last = [finding for finding in steps[-1].findings if finding.regression is None]
            slowest = max(last, key=lambda one: one.usual.looks if one.usual is not None else MOST_LOOKS + 1)
            needs = f"the last step takes {format_duration(slowest.usual.lasts)}" if slowest.usual else "it takes months"
            yield (
                f"by the end of the steps no harm is shown for {percent(promotable)} of releases without change; "
                f"the others wait for it, at most {format_duration(self.judge.policy.max_extension)}: for 80 % of "
                f"them {needs} ({slowest.metric})"
            )

    def _pointless(self, metric: Metric) -> Iterator[str]:
        level, bound, margin = (
            self.outlook.levels[metric.name],
            self.outlook.watched(metric),
            margin_of(self.judge, metric),
        )
        for size in self.regressions:
            if size <= margin:
                yield f"{metric.name} {times(size)} is never rolled back: it is within the margin, {times(margin)}"
            elif (reached := level.worse(bound, size).above(bound)) <= metric.floor:
                yield (
                    f"{metric.name} {times(size)} of {percent(level.above(bound))} is {percent(reached)}, never rolled "
                    f"back: a canary's level up to the floor, {percent(metric.floor)}, is no harm"
                )

    def _undecided(self, number: int, step: StepForecast) -> Iterator[str]:
        largest = max(self.regressions)
        asked = [one for one in step.findings if one.regression == largest and self._possible(one.metric, largest)]
        if not asked:
            return
        worst = min(asked, key=lambda one: one.by_end)
        if worst.by_end >= SELDOM:
            return
        planned = self.steps[number]
        verb = "cannot catch" if worst.by_end < CANNOT else "seldom catches"
        what = f"{times(largest)} in {worst.metric}"
        yield (
            f"at {self.outlook.rps:g} requests/s step {number + 1}, {planned.weight:g} % for "
            f"{format_duration(planned.for_)}, {verb} {what} ({percent(worst.by_end)}): {self._mends(number, worst)}"
        )

    def _possible(self, name: str, size: float) -> bool:
        metric = next(one for one in self.metrics if one.name == name)
        return not list(replace(self, regressions=[size])._pointless(metric))

    def _mends(self, number: int, worst: Finding) -> str:
        """What would let the step catch it in 80 of 100: more time, more weight, or more requests."""
        step = self.steps[number]
        mends = []
        if worst.usual is not None:
            mends.append(f"for: {format_duration(worst.usual.lasts)}")
        if (weight := self._weight(number, worst)) is not None:
            mends.append(f"weight: {weight:g}")
        if worst.usual is not None and not number:
            # Evidence goes by requests: as many more a second as the step is too short.
            needed = self.outlook.rps * worst.usual.looks / self._looks(step)
            mends.append(f"about {float(f'{needed:.2g}'):,.0f} requests/s (synthetic traffic to both versions)")
        return f"80 % need {' or '.join(mends)}" if mends else "a month of it would not do; more traffic is needed"

    def _weight(self, number: int, worst: Finding) -> float | None:
        step, metric = self.steps[number], next(one for one in self.metrics if one.name == worst.metric)
        highest = self.steps[number + 1].weight if number + 1 < len(self.steps) else 100.0
        end = self._before(number) + self._looks(step)
        for weight in WEIGHTS:
            if not step.weight < weight < highest or worst.regression is None:
                continue
            changed = [*self.steps[:number], step.model_copy(update={"weight": weight})]
            course = self.outlook.course([Stretch(self._looks(one), one.weight / 100.0) for one in changed])
            if self.outlook.harm(metric, worst.regression, course).by(end) >= USUAL:
                return weight
        return None
