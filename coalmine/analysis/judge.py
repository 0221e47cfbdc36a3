"""One decision: fold one look into the evidence, and say what the evidence says now. Pure and deterministic."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

import numpy as np

from coalmine.analysis import latency
from coalmine.analysis.bake_judge import evaluate_bake
from coalmine.analysis.comparison import Comparison, ComparisonState, Verdicts, channels_of, looks_per_minute
from coalmine.analysis.findings import Case, conclude, leading
from coalmine.analysis.metrics import HistogramCounts, LatencyMetric, LatencyState, RatioCounts, RatioMetric, RatioState
from coalmine.analysis.readings import Reading, read_latency, read_ratio
from coalmine.analysis.sample_ratio import SampleRatio
from coalmine.analysis.sentences import times
from coalmine.analysis.starvation import Due, silence
from coalmine.analysis.state import decode, encode, opened, sealed
from coalmine.analysis.windows import MetricWindow, read_windows
from coalmine.records import EvaluateRequest, Evaluation, Evidence, MetricVerdict, VerdictName

SURE_RATIO = 1.5
"""Without history, harm rolls back by itself only when the odds ratio is surely at least this."""
_VERSION = 1


def evaluate(request: EvaluateRequest) -> Evaluation:
    """Fold one look into the evidence and say what was found (EVALUATION.md sections 1 to 5).

    The same request always gives the same answer, byte for byte. ``request.stage`` chooses between comparing two arms
    and holding the canary alone to absolute limits; each stage has evidence of its own.

    Raises:
        InputError: counts or evidence that cannot be; names field, value and mend.
    """
    return evaluate_bake(request) if request.stage == "bake" else _Comparing(request).evaluation()


class _Comparing:
    """One look with both arms running."""

    def __init__(self, request: EvaluateRequest) -> None:
        self._request = request
        self._judge = request.judge
        self._core = Comparison(request.judge)
        self._windows = read_windows(request.judge.metrics, request.counts, compare=True)
        written = opened(request.evidence, "compare", _VERSION)
        self._due: dict[str, Due] = {name: (due[0], due[1]) for name, due in written.get("due", {}).items()}
        self._state = self._restored(written)
        self._ratio = SampleRatio.read(written.get("split"))
        self._missing: dict[str, str] = {}
        self._fold()

    def evaluation(self) -> Evaluation:
        """What this look says."""
        judge, core = self._judge, self._core
        weighed = core.weigh(self._state)
        needed = log(1.0 / judge.policy.alpha)
        harm, crash = float(weighed.harm[0]), float(weighed.crash[0])
        readings = [self._reading(index) for index in range(len(judge.metrics))]
        carried = {
            name: float(np.logaddexp(weighed.metrics[name].harm[0] + np.log(weight), self._guard(weighed, name)))
            for name, weight in core.harm_weights.items()
        }
        harmful = leading(carried, harm) if harm >= needed else []
        signalling = self._signalling(weighed, needed)
        verdicts = [
            self._verdict(index, reading, weighed, harmful + signalling) for index, reading in enumerate(readings)
        ]
        case = Case(
            verdicts=verdicts,
            harm=harm,
            crash=crash,
            alpha=judge.policy.alpha,
            silent={
                m.name: self._missing[m.name]
                for m in judge.metrics
                if m.role == "guardrail" and m.name in self._missing
            },
            crashed=leading({name: self._guard(weighed, name) for name in core.crash_weights}, crash),
            harmful=harmful,
            signals=signalling,
            unsure=self._unsure(harmful, readings, weighed),
            sample_ratio=self._ratio.complaint(),
        )
        finding, reason = conclude(case)
        return Evaluation(
            finding=finding,
            reason=reason,
            verdicts=verdicts,
            canary_requests=_requests(self._windows),
            log_e_harm=round(harm, 4),
            evidence=self._written(),
        )

    # ------------------------------------------------------------------------------------------------ folding

    def _restored(self, written: dict[str, Any]) -> ComparisonState:
        bounds = {name: tuple(values) for name, values in written.get("bounds", {}).items()}
        template = self._core.start(1, bounds)
        if not written:
            return template
        return replace(decode(template, written), looks=int(written["looks"]), spent=float(written["spent"]))

    def _fold(self) -> None:
        windows: list[RatioCounts | HistogramCounts] = []
        states: list[RatioState | LatencyState] = []
        for index, window in enumerate(self._windows):
            state, part = self._state.metrics[index], self._core.metric(index)
            reason = window.missing or self._silence(window, state)
            folded: RatioCounts | HistogramCounts
            if isinstance(part, LatencyMetric) and isinstance(state, LatencyState):
                state, folded, reason = _histograms(part, state, window, reason)
            else:
                folded = _ratio(window, not reason)
            if reason:
                self._missing[window.metric.name] = reason
            windows.append(folded)
            states.append(state)
        self._state = self._core.update(
            replace(self._state, metrics=tuple(states)),
            windows,
            new_step=self._request.new_step,
            extension=self._request.extension,
        )
        share = self._request.share
        split = next((w for w in _by_traffic(self._windows) if w.metric.name not in self._missing), None)
        if share is not None and 0.0 < share < 1.0 and split is not None:
            block = looks_per_minute(self._judge)
            self._ratio = self._ratio.add(split.canary.total, split.baseline.total, share, block)

    def _silence(self, window: MetricWindow, state: RatioState | LatencyState) -> str:
        if isinstance(state, RatioState):
            seen = (float(state.shares.canary[0, 0]), float(state.shares.baseline[0, 0]))
        else:
            seen = (float(state.canary.sum()), float(state.baseline.sum()))
        name = window.metric.name
        due = self._due.pop(name, (0.0, 0.0))
        reason, due = silence(window, due, self._request.share, self._state.looks, seen)
        if any(due):
            self._due[name] = (round(due[0], 3), round(due[1], 3))
        return reason

    # ------------------------------------------------------------------------------------------------ reading

    def _reading(self, index: int) -> Reading:
        name, part, state = self._core.names[index], self._core.metric(index), self._state.metrics[index]
        alpha = self._judge.policy.alpha
        if isinstance(part, RatioMetric) and isinstance(state, RatioState):
            return read_ratio(name, part, state, alpha)
        assert isinstance(part, LatencyMetric)
        assert isinstance(state, LatencyState)
        return read_latency(name, part, state, alpha, 1.0 - self._state.spent)

    def _verdict(self, index: int, reading: Reading, weighed: Verdicts, failing: list[str]) -> MetricVerdict:
        metric = self._judge.metrics[index]
        evidence = weighed.metrics[metric.name]
        no_harm = float(evidence.no_harm[0]) >= log(1.0 / self._judge.policy.beta)
        missing = self._missing.get(metric.name)
        verdict: VerdictName = "inconclusive"
        text = reading.text
        if metric.name in failing:
            verdict = "fail"
        elif missing:
            verdict = "no_data"
        elif no_harm:
            verdict = "pass"
            text += f": below {times(metric.no_harm)} is shown"
        if missing:
            text += f"; no data in this look: {missing}"
        return MetricVerdict(
            verdict=verdict,
            metric=metric.name,
            role=metric.role,
            sentence=text,
            effect=reading.effect,
            interval=reading.interval,
            margin=self._core.metric(index).margin,
            no_harm=no_harm,
            log_e_harm=round(float(evidence.harm[0]), 4),
            log_e_no_harm=round(float(evidence.no_harm[0]), 4),
            baseline=_rounded(reading.baseline),
            canary=_rounded(reading.canary),
            baseline_requests=reading.baseline_requests,
            canary_requests=reading.canary_requests,
        )

    def _guard(self, weighed: Verdicts, name: str) -> float:
        guard, weight = weighed.metrics[name].crash, self._core.crash_weights.get(name)
        return float(guard[0]) + log(weight) if guard is not None and weight else -np.inf

    def _signalling(self, weighed: Verdicts, needed: float) -> list[str]:
        total = float(weighed.signals[0])
        if total < needed:
            return []
        names = [metric.name for metric in self._judge.metrics if metric.role == "signal"]
        return leading({name: float(weighed.metrics[name].harm[0]) - log(len(names)) for name in names}, total)

    def _unsure(self, harmful: list[str], readings: list[Reading], weighed: Verdicts) -> str:
        if self._judge.policy.no_history == "roll_back":
            return ""
        if any(channels_of(self._judge, metric) for metric in self._judge.metrics if metric.name in harmful):
            return ""
        found = [reading for name, reading in zip(self._core.names, readings, strict=True) if name in harmful]
        lowest = max((reading.lowest for reading in found), default=0.0)
        if lowest >= SURE_RATIO:
            return ""
        needed = log(1.0 / self._judge.policy.alpha)
        backed = [
            float(weighed.metrics[name].without_scores[0]) + log(self._core.harm_weights[name]) for name in harmful
        ]
        if backed and max(backed) < needed:
            why = "it rests on the shift of the whole distribution, no bound alone shows it"
        else:
            why = (
                f"it is only sure to be {times(lowest)}, less than {times(SURE_RATIO)}"
                if lowest
                else "its size is open"
            )
        return f"the service's noise is not known yet and {why}: a human decides"

    def _written(self) -> Evidence:
        state = self._state
        bounds = {
            name: list(part.bounds)
            for name, part in zip(self._core.names, state.metrics, strict=True)
            if isinstance(part, LatencyState) and part.bounds
        }
        return sealed(
            "compare",
            _VERSION,
            state.looks,
            encode(state, state.looks)
            | {
                "spent": state.spent,
                "bounds": bounds,
                "due": {name: list(due) for name, due in self._due.items()},
                "split": self._ratio.written(state.looks),
            },
        )


def _ratio(window: MetricWindow, present: bool) -> RatioCounts:
    canary, baseline = window.canary, window.baseline
    return RatioCounts(
        canary=np.array([canary.total]),
        canary_events=np.array([canary.events]),
        baseline=np.array([baseline.total]),
        baseline_events=np.array([baseline.events]),
        present=np.array([present]),
    )


def _histograms(
    part: LatencyMetric, state: LatencyState, window: MetricWindow, reason: str
) -> tuple[LatencyState, HistogramCounts, str]:
    """The counts on bounds the evidence shares; bounds that changed under way are merged to the common ones."""
    if not reason and state.bounds != window.bounds:
        common = latency.common_bounds(state.bounds, window.bounds) if state.bounds else window.bounds
        if common:
            state = part.with_bounds(state, common)
        else:
            before = ", ".join(f"{bound:g}" for bound in state.bounds)
            reason = f"the histogram's bounds changed and share none with those before ({before})"
    if reason:
        nothing = np.zeros((1, len(state.bounds) + 1))
        return state, HistogramCounts(nothing, nothing, np.zeros(1, bool)), reason
    canary, baseline = (
        latency.merge_buckets(np.array([arm.buckets]), window.bounds, state.bounds)
        for arm in (window.canary, window.baseline)
    )
    return state, HistogramCounts(canary, baseline, np.ones(1, bool)), ""


def _by_traffic(windows: list[MetricWindow]) -> list[MetricWindow]:
    """Ratios first: their totals count requests, a histogram may leave some out."""
    return sorted(windows, key=lambda window: (window.metric.kind != "ratio", window.metric.role != "guardrail"))


def _requests(windows: list[MetricWindow]) -> int:
    return next((window.canary.total for window in _by_traffic(windows) if not window.missing), 0)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
