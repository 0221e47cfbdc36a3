"""One decision: fold one look into the evidence, and say what the evidence says now. Pure and deterministic."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

import numpy as np

from coalmine.analysis.bake_judge import evaluate_bake
from coalmine.analysis.comparison import Comparison, ComparisonState, Verdicts, channels_of, looks_per_minute
from coalmine.analysis.findings import Case, conclude, leading
from coalmine.analysis.kinds import WEIGHTLESS, AnyCounts, AnyState
from coalmine.analysis.readings import Reading
from coalmine.analysis.sample_ratio import SampleRatio
from coalmine.analysis.sentences import times
from coalmine.analysis.starvation import Due, silence
from coalmine.analysis.state import decode, encode, opened, sealed
from coalmine.analysis.windows import MetricWindow, read_windows
from coalmine.records import EvaluateRequest, Evaluation, Evidence, MetricVerdict, VerdictName
from coalmine.spec.metric_rules import COUNTS_REQUESTS

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
        readings = [
            core.metric(index).read(name, state, judge.policy.alpha, 1.0 - self._state.spent)
            for index, (name, state) in enumerate(zip(core.names, self._state.metrics, strict=True))
        ]
        carried = {
            name: float(np.logaddexp(weighed.metrics[name].harm[0] + np.log(weight), self._guard(weighed, name)))
            for name, weight in core.harm_weights.items()
        }
        harmful = leading(carried, harm) if harm >= needed else []
        signalling = self._signalling(weighed, needed)
        broken = [m.name for m in judge.metrics if (fact := weighed.metrics[m.name].fact) and fact.broken[0]]
        verdicts = [
            self._verdict(index, reading, weighed, harmful + signalling + broken)
            for index, reading in enumerate(readings)
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
            broken=[m.name for m in judge.metrics if m.role == "guardrail" and m.name in broken],
            signals=signalling + [m.name for m in judge.metrics if m.role == "signal" and m.name in broken],
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
        windows: list[AnyCounts] = []
        states: list[AnyState] = []
        for index, window in enumerate(self._windows):
            state, part = self._state.metrics[index], self._core.metric(index)
            seen = part.seen(state)
            reason = window.missing or ("" if seen is None else self._silence(window, seen))
            state, folded, reason = part.take(state, window, self._request.share, reason)
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

    def _silence(self, window: MetricWindow, seen: Due) -> str:
        name = window.metric.name
        due = self._due.pop(name, (0.0, 0.0))
        reason, due = silence(window, due, self._request.share, self._state.looks, seen)
        if any(due):
            self._due[name] = (round(due[0], 3), round(due[1], 3))
        return reason

    # ------------------------------------------------------------------------------------------------ reading

    def _verdict(self, index: int, reading: Reading, weighed: Verdicts, failing: list[str]) -> MetricVerdict:
        metric = self._judge.metrics[index]
        evidence = weighed.metrics[metric.name]
        no_harm = metric.kind in WEIGHTLESS or float(evidence.no_harm[0]) >= log(1.0 / self._judge.policy.beta)
        if evidence.fact is not None:
            no_harm = no_harm and bool(evidence.fact.kept[0])
        missing = self._missing.get(metric.name)
        verdict: VerdictName = "inconclusive"
        text = reading.text
        if metric.name in failing:
            verdict = "fail"
        elif missing:
            verdict = "no_data"
        elif no_harm:
            verdict = "pass"
            text += reading.proof or f": below {times(metric.no_harm)} is shown"
        if missing:
            text += f"; no data in this look: {missing}"
        return MetricVerdict(
            verdict=verdict,
            metric=metric.name,
            role=metric.role,
            sentence=text,
            effect=reading.effect,
            interval=reading.interval,
            margin=self._core.metric(index).margin if reading.margin is None else reading.margin,
            measure=reading.measure,
            worse=reading.worse,
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
        names = [m.name for m in self._judge.metrics if m.role == "signal" and m.kind not in WEIGHTLESS]
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
            name: list(bounds)
            for name, part in zip(self._core.names, state.metrics, strict=True)
            if (bounds := getattr(part, "bounds", ()))
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


def _by_traffic(windows: list[MetricWindow]) -> list[MetricWindow]:
    """Those that count requests. Ratios first: a histogram may leave some out; an slo may be of a part of them."""
    order = ("ratio", "latency", "slo")
    counting = [window for window in windows if window.metric.kind in COUNTS_REQUESTS]
    return sorted(counting, key=lambda window: (order.index(window.metric.kind), window.metric.role != "guardrail"))


def _requests(windows: list[MetricWindow]) -> int:
    return next((window.canary.total for window in _by_traffic(windows) if not window.missing), 0)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
