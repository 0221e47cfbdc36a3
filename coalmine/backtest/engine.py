"""Judges many traces at once by the workflow's own decision code: look by look, whole batches together.

Traces that the judge must treat alike (as many looks, new steps and histogram bounds at the same looks) are folded as
one batch; what a trace is told does not depend on the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, log
from typing import Any

import numpy as np

from coalmine.analysis.comparison import Comparison, ComparisonState, Verdicts, looks_per_minute
from coalmine.analysis.grids import Array, Integers, Mask
from coalmine.analysis.kinds import AnyCounts, MetricJudge
from coalmine.analysis.metrics import HistogramCounts, RatioCounts
from coalmine.analysis.noises import Noises
from coalmine.analysis.sample_ratio import SampleRatio
from coalmine.analysis.standing import Conclusion, Standing
from coalmine.analysis.state import settled
from coalmine.analysis.traffic_order import traffic_order
from coalmine.analysis.trees import take
from coalmine.backtest.intake import Intake, take_in
from coalmine.backtest.trace import Trace
from coalmine.backtest.verdicts import Course
from coalmine.records import Judge, ServiceHistory
from coalmine.spec.canary import Policy
from coalmine.spec.metric_rules import COUNTS_REQUESTS
from coalmine.spec.metrics import Metric

CHUNK = 256
"""Traces folded at once: many enough to hide what a look costs by itself, few enough for the processor's cache."""
_HAIR = 1e-9
"""Evidence this close below what is needed is looked at one by one: a batch may round its sums differently."""


@dataclass(frozen=True)
class Rules:
    """What traces are judged by."""

    metrics: Sequence[Metric]
    policy: Policy
    planned_looks: int | None = None
    """Looks of the spec's steps; None without steps: then a trace is as long as it was planned."""
    history: ServiceHistory | None = None

    def judge(self, looks: int) -> Judge:
        """The judge of a trace of so many looks; its metrics are in order of name, whatever the spec's."""
        return Judge(
            metrics=sorted(self.metrics, key=lambda metric: metric.name),
            policy=self.policy,
            planned_looks=max(self.planned_looks or looks, 1),
            history=self.history,
        )


def judge_traces(rules: Rules, traces: Sequence[Trace], *, all_looks: bool = False) -> list[Course]:
    """Judge every trace from its first look on, in the order given.

    Args:
        rules: what they are judged by.
        traces: read for the metrics of ``rules``.
        all_looks: keep what every look said, also after the decision.
    """
    groups: dict[Any, list[int]] = defaultdict(list)
    intakes: dict[int, list[Intake]] = {}
    for number, trace in enumerate(traces):
        judge = rules.judge(trace.looks)
        intakes[number] = [take_in(trace.columns[metric.name], trace.shares) for metric in judge.metrics]
        stages = tuple(intake.stages for intake in intakes[number])
        groups[trace.looks, trace.new_steps, stages].append(number)
    courses: dict[int, Course] = {}
    for (looks, _, _), members in groups.items():
        judge = rules.judge(looks)
        for start in range(0, len(members), CHUNK):
            chunk = members[start : start + CHUNK]
            batch = _Batch(judge, [traces[number] for number in chunk], [intakes.pop(number) for number in chunk])
            courses.update(zip(chunk, batch.judged(all_looks), strict=True))
    return [courses[number] for number in range(len(traces))]


class _Batch:
    """Traces that are folded together: S of them, T looks each."""

    def __init__(self, judge: Judge, traces: Sequence[Trace], intakes: Sequence[Sequence[Intake]]) -> None:
        self._judge = judge
        self._core = Comparison(judge)
        self._traces = traces
        self._intakes = intakes
        self._looks = traces[0].looks
        self._new_steps = traces[0].new_steps
        self._shares = np.stack([trace.shares for trace in traces])
        self._windows = [self._stacked(index) for index in range(len(judge.metrics))]
        self._present = np.stack([[intake.present for intake in of_trace] for of_trace in intakes])
        self._totals = np.stack([[intake.totals for intake in of_trace] for of_trace in intakes])

    def judged(self, all_looks: bool) -> list[Course]:
        """What became of each."""
        judge, core, last = self._judge, self._core, self._looks - 1
        courses = [Course(trace) for trace in self._traces]
        runs: Integers = np.arange(len(courses), dtype=np.int64)
        state, ratio = core.start(runs.size, {}), SampleRatio.start(runs.size)
        for look in range(self._looks):
            state = self._on_bounds(state, look)
            state = core.update(
                state,
                [windows.at(look, runs) for windows in self._windows],
                new_step=self._new_steps[look],
                extension=look >= judge.planned_looks,
            )
            ratio = self._split(ratio, look, runs)
            open_ = np.array([courses[run].open for run in runs])
            wanted = np.ones(runs.size, bool) if all_looks else open_
            if look != last and not all_looks:
                wanted = wanted & self._alarming(core.weigh(state), ratio)
            for place in np.flatnonzero(wanted):
                run = int(runs[place])
                found = self._concluded(state, ratio, int(place), run, look)
                courses[run].take(look, found, last=look == last, keep=all_looks)
            if look == last:
                break
            if not all_looks and wanted.any():
                kept = np.array([courses[run].open for run in runs])
                if not kept.any():
                    break
                if not kept.all():
                    runs, state, ratio = runs[kept], take(state, kept), ratio.take(kept)
            state, ratio = settled(state, look + 1), settled(ratio, look + 1)
        return courses

    def _alarming(self, weighed: Verdicts, ratio: SampleRatio) -> Mask:
        needed = log(1.0 / self._judge.policy.alpha) - _HAIR
        strongest = np.maximum(np.maximum(weighed.harm, weighed.crash), weighed.signals)
        result: Mask = (strongest >= needed) | ratio.mismatch()
        # A plain limit has no part in the evidence, and may be kept again by the last look.
        for one in weighed.metrics.values():
            if one.fact is not None:
                result = result | one.fact.broken
        return result

    def _concluded(self, state: ComparisonState, ratio: SampleRatio, place: int, run: int, look: int) -> Conclusion:
        missing = {
            name: intake.missing[look]
            for name, intake in zip(self._core.names, self._intakes[run], strict=True)
            if look in intake.missing
        }
        alone = take(state, slice(place, place + 1))
        return Standing(self._core, alone, missing, ratio.complaint(place)).conclusion()

    def _split(self, ratio: SampleRatio, look: int, runs: Integers) -> SampleRatio:
        """Fold the look into the sample ratio, by the metric whose totals count requests best and is there."""
        metrics = self._judge.metrics
        counting = [index for index, metric in enumerate(metrics) if metric.kind in COUNTS_REQUESTS]
        if not counting:
            return ratio
        order = sorted(counting, key=lambda index: traffic_order(metrics[index]))
        present = self._present[runs][:, order, look]
        share = self._shares[runs, look]
        tested = present.any(axis=1) & (share > 0) & (share < 1)
        if not tested.any():
            return ratio
        first = np.array(order)[present.argmax(axis=1)]
        canary, baseline = (self._totals[runs, first, arm, look] for arm in (0, 1))
        noises = Noises(looks_per_minute(self._judge))
        after = ratio.add(canary, baseline, np.where(tested, share, 0.5), noises, tested)
        noises.settle()
        return after

    def _on_bounds(self, state: ComparisonState, look: int) -> ComparisonState:
        """The state with the bounds that histograms have from this look on."""
        found = {place: dict(intake.stages).get(look, ()) for place, intake in enumerate(self._intakes[0])}
        return self._core.with_bounds(state, {place: bounds for place, bounds in found.items() if bounds})

    def _stacked(self, index: int) -> _Ratios | _Histograms | _Windows:
        mine = [of_trace[index] for of_trace in self._intakes]
        if self._judge.metrics[index].kind not in ("ratio", "latency"):
            return _Windows(self._core.metric(index), mine, self._shares)
        present = np.stack([intake.present for intake in mine], axis=1)
        if not mine[0].stages:
            totals = np.stack([intake.totals for intake in mine], axis=-1)
            return _Ratios(totals, np.stack([intake.values[0] for intake in mine], axis=-1), present)
        starts = [start for start, _ in mine[0].stages]
        values = [np.stack(stage, axis=2) for stage in zip(*(intake.values for intake in mine), strict=True)]
        return _Histograms(starts, values, present)


@dataclass(frozen=True)
class _Ratios:
    """Requests and events of canary and baseline, [2, T, S]; ``present`` [T, S]."""

    totals: Array
    events: Array
    present: Mask

    def at(self, look: int, runs: Integers) -> RatioCounts:
        """One look of some of the runs."""
        (n_c, n_b), (x_c, x_b) = self.totals[:, look, runs], self.events[:, look, runs]
        return RatioCounts(n_c, x_c, n_b, x_b, self.present[look, runs])


@dataclass(frozen=True)
class _Histograms:
    """Requests per bucket of canary and baseline, [2, n, S, B] of each stage; ``present`` [T, S]."""

    starts: Sequence[int]
    stages: Sequence[Array]
    present: Mask

    def at(self, look: int, runs: Integers) -> HistogramCounts:
        """One look of some of the runs."""
        stage = max(index for index, start in enumerate(self.starts) if start <= look)
        canary, baseline = self.stages[stage][:, look - self.starts[stage], runs]
        return HistogramCounts(canary, baseline, self.present[look, runs])


@dataclass(frozen=True)
class _Windows:
    """Windows of another kind, [S][T], read by its judge one by one."""

    judge: MetricJudge
    intakes: Sequence[Intake]
    shares: Array
    """[S, T]"""

    def at(self, look: int, runs: Integers) -> AnyCounts:
        """One look of some of the runs."""
        taken = []
        for run in runs:
            intake, share = self.intakes[run], float(self.shares[run, look])
            reason = intake.missing.get(look, "")
            _, counts, _ = self.judge.take((), intake.windows[look], None if isnan(share) else share, reason)
            taken.append(counts)
        columns = zip(*(vars(one).values() for one in taken), strict=True)
        return type(taken[0])(*(np.concatenate(column) for column in columns))
