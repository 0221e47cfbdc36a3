"""From weighed evidence to one finding: the order in which things matter, the same for both stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

from coalmine.analysis.sentences import evidence, joined, percent
from coalmine.records import Finding, MetricVerdict


@dataclass(frozen=True)
class Case:
    """All that decides one look. Log evidence is weighted; ``log_e`` by metric is that of guardrails."""

    verdicts: Sequence[MetricVerdict]
    harm: float
    crash: float
    alpha: float
    silent: Mapping[str, str]
    """Why guardrails have no data in this look, by metric."""
    crashed: Sequence[str] = ()
    harmful: Sequence[str] = ()
    broken: Sequence[str] = ()
    """Guardrails whose plain limit is broken: a fact, whatever the evidence of the others."""
    signals: Sequence[str] = ()
    unsure: str = ""
    """Why harm asks a human instead of rolling back; empty when it is sure."""
    sample_ratio: str = ""
    """What is wrong with the sample ratio; empty when nothing is."""
    bake: bool = False
    above: Sequence[str] = ()
    """Metrics of the bake that are above their limit by what chance and noise explain."""

    @property
    def needed(self) -> float:
        return log(1.0 / self.alpha)


def conclude(case: Case) -> tuple[Finding, str]:
    """The finding and its reason: crash, broken limit, sample ratio, harm, signal, no data, no harm, undecided."""
    if case.crashed and case.crash >= case.needed:
        return Finding.CRASH, f"the canary crashes: {_said(case, case.crashed)}; {_against(case, case.crash)}"
    if case.broken:
        return Finding.HARM, f"a limit is broken: {_said(case, case.broken)}"
    if case.sample_ratio:
        return Finding.SAMPLE_RATIO, case.sample_ratio
    if case.harm >= case.needed:
        what = "limit violated" if case.bake else "harm"
        reason = f"{what}: {_said(case, case.harmful)}; {_against(case, case.harm)}"
        return (Finding.HARM_UNSURE, f"{reason}; {case.unsure}") if case.unsure else (Finding.HARM, reason)
    if case.signals:
        return Finding.SIGNAL, f"a signal fails: {_said(case, case.signals)}"
    if case.silent:
        return Finding.NO_DATA, "no data: " + "; ".join(f"{name}: {why}" for name, why in case.silent.items())
    guardrails = [verdict for verdict in case.verdicts if verdict.role == "guardrail"]
    if case.bake:
        surely = " beyond chance" if any(verdict.metric in case.above for verdict in guardrails) else ""
        return Finding.NO_HARM, f"no absolute limit is violated{surely}: {_said(case, [v.metric for v in guardrails])}"
    if guardrails and all(verdict.no_harm for verdict in guardrails):
        return Finding.NO_HARM, f"no harm is shown: {_said(case, [v.metric for v in guardrails])}"
    open_ = [verdict.metric for verdict in guardrails if not verdict.no_harm]
    return Finding.UNDECIDED, f"neither harm nor no harm is shown yet: {_said(case, open_)}"


def _said(case: Case, names: Sequence[str]) -> str:
    sentences = [verdict.sentence for verdict in case.verdicts if verdict.metric in names]
    return "; ".join(sentences) or joined(list(names)) or "no guardrail"


def _against(case: Case, log_e: float) -> str:
    return f"evidence {evidence(log_e)}, {exp(case.needed):,.0f} to 1 needed (alpha {percent(case.alpha)})"


def leading(log_e: Mapping[str, float], total: float) -> list[str]:
    """The metrics that carry the weighted sum ``total``: an even share of it or more, at least one."""
    if not log_e:
        return []
    fair = total - log(len(log_e))
    return [name for name, value in log_e.items() if value >= fair - 1e-9]
