"""Where the evidence of one rollout stands after a look: readings, verdicts, and the finding they lead to.

The workflow reads one rollout at each of its looks, a backtest one trace of many at the looks that matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, log

import numpy as np

from coalmine.analysis.comparison import Comparison, ComparisonState, Verdicts, channels_of
from coalmine.analysis.findings import Case, conclude, leading
from coalmine.analysis.grids import NO_HARM_SHARE
from coalmine.analysis.kinds import WEIGHTLESS
from coalmine.analysis.readings import Reading, significant
from coalmine.analysis.sentences import percent, times
from coalmine.effects import leans_to_harm
from coalmine.records import Finding, MetricVerdict, VerdictName

SURE_RATIO = 1.5
"""Without history, harm rolls back by itself only when the odds ratio is surely at least this."""


@dataclass(frozen=True)
class Conclusion:
    """What a look says: as in ``coalmine.records.Evaluation``."""

    finding: Finding
    reason: str
    verdicts: list[MetricVerdict]
    log_e_harm: float


class Standing:
    """One run (S = 1) after a look."""

    def __init__(self, core: Comparison, state: ComparisonState, missing: Mapping[str, str], sample_ratio: str) -> None:
        """Args:
        core: the judge.
        state: its state, of one run.
        missing: why metrics have nothing to judge in this look, by name.
        sample_ratio: what is wrong with the sample ratio; empty when nothing is.
        """
        self._judge = core.judge
        self._core = core
        self._state = state
        self._missing = missing
        self._sample_ratio = sample_ratio

    def conclusion(self) -> Conclusion:
        """The finding with its reason, and a verdict per metric."""
        judge, core = self._judge, self._core
        weighed = core.weigh(self._state)
        needed = log(1.0 / judge.policy.alpha)
        harm, crash = float(weighed.harm[0]), float(weighed.crash[0])
        readings = core.read(self._state, weighed)
        harmful = leading(self._carried(weighed), harm) if harm >= needed else []
        signalling = self._signalling(weighed, needed)
        broken = [m.name for m in judge.metrics if (fact := weighed.metrics[m.name].fact) and fact.broken[0]]
        verdicts = [
            self._verdict(index, reading, weighed, harmful + signalling + broken)
            for index, reading in enumerate(readings)
        ]
        guards = core.crash_weights if crash >= needed else ()
        crashed = leading({name: self._guard(weighed, name) for name in guards}, crash)
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
            crashed=crashed,
            harmful=harmful,
            broken=[m.name for m in judge.metrics if m.role == "guardrail" and m.name in broken],
            signals=signalling + [m.name for m in judge.metrics if m.role == "signal" and m.name in broken],
            unsure=self._unsure(harmful, readings, weighed),
            sample_ratio=self._sample_ratio,
        )
        finding, reason = conclude(case)
        # Of no guardrail that is weighed there is no evidence, for or against: plain limits are facts.
        return Conclusion(finding, reason, verdicts, round(harm, 4) if isfinite(harm) else 0.0)

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
            text += reading.proof or f": below {self._shown_below(index, reading)} is shown"
        if missing:
            text += f"; no data in this look: {missing}"
        found = MetricVerdict(
            verdict=verdict,
            metric=metric.name,
            kind=metric.kind,
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
        forgiven = float(evidence.harm[0]) <= 0.0 and bool(leans_to_harm(found))
        return found.model_copy(update={"forgiven": True}) if forgiven else found

    def _shown_below(self, index: int, reading: Reading) -> str:
        """What no harm was shown of: that it is below the no-harm margin or below the level that matters.

        Where the effect beside it is not below the margin, the level is what was shown; of a latency, whose effect may
        be at another bound than those that are asked for proof, whichever it was.
        """
        metric = self._judge.metrics[index]
        margin, level = times(metric.no_harm), percent(NO_HARM_SHARE)
        if metric.kind not in ("ratio", "latency") or (reading.effect is not None and reading.effect < metric.no_harm):
            return margin
        if metric.kind == "ratio":
            return level
        return f"{margin} or {level} at the bound{'s of the objective and' if metric.objective else ' of'} p97"

    def _carried(self, weighed: Verdicts) -> dict[str, float]:
        """What each guardrail adds to the evidence of harm, with its crash guard."""
        return {
            name: float(np.logaddexp(weighed.metrics[name].harm[0] + log(weight), self._guard(weighed, name)))
            for name, weight in self._core.harm_weights.items()
        }

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


def _rounded(value: float | None) -> float | None:
    return None if value is None else significant(value)
