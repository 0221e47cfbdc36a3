"""What a forecast warns of before the start, and what would help."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from coalmine.analysis.comparison import looks_per_minute, margin_of
from coalmine.analysis.forecast.outlook import SHARE_KINDS, Outlook
from coalmine.analysis.forecast.told import Finding, StepForecast
from coalmine.analysis.sentences import number as grouped
from coalmine.analysis.sentences import percent, times
from coalmine.analysis.value import FEWEST_BLOCKS
from coalmine.spec.durations import format_duration
from coalmine.spec.metrics import Metric
from coalmine.spec.steps import Step

ENOUGH = 0.8
"""A step that catches a regression this often decides."""
CANNOT, SELDOM = 0.05, 0.5
"""A step that catches a regression less often than this cannot decide, or seldom does."""
LOW_TRAFFIC = 10.0
"""Requests per second below which a canary is slow whatever its steps are."""
WEIGHTS = (2.0, 5.0, 10.0, 20.0, 30.0, 50.0)
"""Weights that are tried when a step cannot decide."""

MORE = (1.0, 1.1, 1.25, 1.5, 2.0)
"""Times the load that would do at the same pace: more requests in as many looks show less of their noise."""

Caught = Callable[[int, Metric, float, float, float], float]
"""Chance to catch a regression by the end of a step (counted from 0) at another weight and load."""


def chance(share: float) -> str:
    """``41 %``; never more exact than a forecast is."""
    if share < 0.01:
        return "< 1 %"
    return "> 99 %" if share > 0.99 else f"{100 * share:.0f} %"


def about(duration: timedelta) -> str:
    """A duration without what nobody would plan by: to the hour from two days on, to the minute from two hours on."""
    unit = next(
        (
            timedelta(**{name: 1})
            for name, least in (("hours", 48), ("minutes", 2))
            if duration >= timedelta(hours=least)
        ),
        timedelta(seconds=1),
    )
    return format_duration(max(round(duration / unit), 1) * unit)


@dataclass(frozen=True)
class Warner:
    """Reads a forecast's findings."""

    outlook: Outlook
    steps: Sequence[Step]
    metrics: Sequence[Metric]
    regressions: Mapping[str, Sequence[float]]
    """By metric."""
    caught: Caught

    def warnings(self, steps: Sequence[StepForecast], promotable: float) -> Iterator[str]:
        """All of them, the widest first."""
        if self.outlook.rps < LOW_TRAFFIC:
            yield (
                f"{self.outlook.rps:g} requests/s is little: below {LOW_TRAFFIC:g} a canary takes long whatever its "
                "steps are; longer steps, more weight early, or synthetic traffic to both versions help"
            )
        for metric in self.metrics:
            yield from self._pointless(metric)
        for number, step in enumerate(steps):
            yield from self._starved(number)
            yield from self._undecided(number, step)
        if promotable < ENOUGH:
            last = [finding for finding in steps[-1].findings if finding.regression is None]
            slowest = max(last, key=lambda one: one.usual.looks if one.usual is not None else float("inf"))
            needs = f"the last step takes {about(slowest.usual.lasts)}" if slowest.usual else "it takes months"
            most = format_duration(self.outlook.judge.policy.max_extension)
            yield (
                f"by the end of the steps no harm is shown for {chance(promotable)} of releases without change; "
                f"the others wait for it, at most {most}: for 80 % {needs} ({slowest.metric})"
            )

    def _pointless(self, metric: Metric) -> Iterator[str]:
        if metric.kind not in SHARE_KINDS:
            yield from self._tolerated(metric)
            return
        level, bound, margin = (
            self.outlook.levels[metric.name],
            self.outlook.watched(metric),
            margin_of(self.outlook.judge, metric),
        )
        for size in self.regressions[metric.name]:
            if size <= margin:
                yield f"{metric.name} {times(size)} is never rolled back: it is within the margin, {times(margin)}"
            elif (reached := level.worse(bound, size).above(bound)) <= metric.floor:
                yield (
                    f"{metric.name} {times(size)} of {percent(level.above(bound))} is {percent(reached)}, never rolled "
                    f"back: a canary's level up to the floor, {percent(metric.floor)}, is no harm"
                )

    def _tolerated(self, metric: Metric) -> Iterator[str]:
        """Of a gauge, a count, an objective."""
        if metric.slo is not None:
            lowest = min(burn.rate for burn in metric.slo.burn)
            for size in self.regressions[metric.name]:
                if size < lowest:
                    what = f"{metric.name} burning {size:g} times is never rolled back"
                    yield f"{what}: {lowest:g} times is the lowest burn rate"
            return
        allowed = 1.0 + self.outlook.allowed(metric)
        for size in self.regressions[metric.name]:
            if size <= allowed:
                what = "margin" if allowed == margin_of(self.outlook.judge, metric) else "tolerance"
                yield f"{metric.name} {times(size)} is never rolled back: it is within the {what}, {times(allowed)}"

    def _starved(self, number: int) -> Iterator[str]:
        step = self.steps[number]
        lasts = timedelta(seconds=step.min_requests / (self.outlook.rps * step.weight / 100.0))
        if lasts > step.for_:
            yield (
                f"step {number + 1} needs {grouped(step.min_requests)} canary requests (min_requests), which takes "
                f"{about(lasts)} at {step.weight:g} % of {self.outlook.rps:g} requests/s, longer than its "
                f"{format_duration(step.for_)}"
            )

    def _undecided(self, number: int, step: StepForecast) -> Iterator[str]:
        for metric in self.metrics:
            yield from self._too_short(number, metric)
        for shares in (True, False):
            asked = [one for one in step.findings if self._asked(number, one, shares)]
            worst = min(asked, key=lambda one: one.by_end, default=None)
            if worst is None or worst.by_end >= SELDOM:
                continue
            planned = self.steps[number]
            verb = "cannot catch" if worst.by_end < CANNOT else "seldom catches"
            what = f"{times(worst.regression or 1.0)} in {worst.metric}"
            load = (
                "" if self._metric(worst.metric).kind in ("value", "count") else f"at {self.outlook.rps:g} requests/s "
            )
            yield (
                f"{load}step {number + 1}, {planned.weight:g} % for {format_duration(planned.for_)}, {verb} {what} "
                f"({chance(worst.by_end)}): {self._mends(number, worst)}"
            )

    def _asked(self, number: int, finding: Finding, shares: bool) -> bool:
        """Whether it is the largest regression of a metric that could be caught."""
        metric, size = self._metric(finding.metric), finding.regression
        return (
            (metric.kind in SHARE_KINDS) == shares
            and size is not None
            and size == max(self.regressions[metric.name])
            and self._possible(metric, size)
            and not list(self._too_short(number, metric))
        )

    def _too_short(self, number: int, metric: Metric) -> Iterator[str]:
        """A gauge says nothing before its tenth block."""
        if metric.kind != "value":
            return
        policy, planned = self.outlook.judge.policy, self.steps[number]
        block = looks_per_minute(self.outlook.judge) * policy.look
        needed = FEWEST_BLOCKS * block
        if (ends := sum((step.for_ for step in self.steps[: number + 1]), timedelta(0))) < needed:
            yield (
                f"step {number + 1}, {planned.weight:g} % for {format_duration(planned.for_)}, decides nothing by "
                f"{metric.name}: it is over after {format_duration(ends)}, and a gauge needs {FEWEST_BLOCKS} blocks of "
                f"{format_duration(block)}"
            )

    def _metric(self, name: str) -> Metric:
        return next(one for one in self.metrics if one.name == name)

    def _possible(self, metric: Metric, size: float) -> bool:
        return not list(replace(self, regressions={metric.name: [size]})._pointless(metric))

    def _mends(self, number: int, worst: Finding) -> str:
        """What would let the step catch it in 80 of 100: more time, more weight, or more requests."""
        mends = []
        if worst.usual is not None:
            mends.append(f"for: {about(worst.usual.lasts)}")
        if self._metric(worst.metric).kind == "value":
            # Neither weight nor traffic makes a gauge scatter less.
            return f"80 % need {mends[0]}" if mends else "a month of it would not do; it scatters too much"
        if (weight := self._weight(number, worst)) is not None:
            mends.append(f"weight: {weight:g}")
        if (load := self._load(number, worst)) is not None:
            mends.append(f"about {load:,.0f} requests/s (synthetic traffic to both versions)")
        return f"80 % need {' or '.join(mends)}" if mends else "a month of it would not do; more traffic is needed"

    def _load(self, number: int, worst: Finding) -> float | None:
        """Requests per second with which the step would do, to two digits."""
        if worst.usual is None or worst.regression is None or self._metric(worst.metric).kind == "count":
            return None
        step, look, size = self.steps[number], self.outlook.judge.policy.look, worst.regression
        # Evidence goes by the canary's requests: as many more a second as there are too few by the step's end.
        before = sum(one.weight * (one.for_ / look) for one in self.steps[:number])
        wanted, given = (before + step.weight * looks for looks in (worst.usual.looks, step.for_ / look))
        loads = (float(f"{self.outlook.rps * wanted / given * more:.2g}") for more in MORE)
        metric = self._metric(worst.metric)
        return next((load for load in loads if self.caught(number, metric, size, step.weight, load) >= ENOUGH), None)

    def _weight(self, number: int, worst: Finding) -> float | None:
        step, metric = self.steps[number], self._metric(worst.metric)
        highest = self.steps[number + 1].weight if number + 1 < len(self.steps) else 100.0
        size = worst.regression
        if size is None:
            return None
        return next(
            (
                weight
                for weight in WEIGHTS
                if step.weight < weight < highest
                and self.caught(number, metric, size, weight, self.outlook.rps) >= ENOUGH
            ),
            None,
        )
