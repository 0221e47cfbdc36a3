"""One decision of the bake: the canary alone against absolute limits."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np

from coalmine.analysis import latency
from coalmine.analysis.bake import Bake, LevelCounts, OneArm
from coalmine.analysis.findings import Case, conclude, leading
from coalmine.analysis.sentences import number, percent, seconds
from coalmine.analysis.starvation import silence_alone
from coalmine.analysis.state import decode, encode, opened, sealed
from coalmine.analysis.windows import MetricWindow, read_windows
from coalmine.records import EvaluateRequest, Evaluation, MetricVerdict, VerdictName
from coalmine.spec.canary import Metric

_VERSION = 1


def evaluate_bake(request: EvaluateRequest) -> Evaluation:
    """Fold one look at 100 % into the bake's own evidence.

    ``no_harm`` as finding means here: every guardrail with a limit has data, and none is violated so far.

    Raises:
        InputError: counts or evidence that cannot be; names field, value and mend.
    """
    judge, core = request.judge, Bake(request.judge)
    windows = read_windows(judge.metrics, request.counts, compare=False)
    written = opened(request.evidence, "bake", _VERSION)
    state = core.start(1)
    if written:
        state = replace(decode(state, written), looks=int(written["looks"]), spent=float(written["spent"]))
    due: dict[str, float] = dict(written.get("due", {}))
    missing: dict[str, str] = {}
    counts: list[LevelCounts] = []
    for window, arm in zip(windows, state.metrics, strict=True):
        name = window.metric.name
        reason = window.missing
        if not reason:
            reason, overdue = silence_alone(window, due.pop(name, 0.0), state.looks, float(arm.canary.sum()))
            if overdue:
                due[name] = round(overdue, 3)
        level, why = (0, reason) if reason else _events(window)
        if why:
            missing[name] = why
        present = np.array([not why])
        counts.append(LevelCounts(np.array([window.canary.total]), np.array([level]), present))
    state = core.update(state, counts)
    weighed = core.weigh(state)

    alpha = judge.policy.alpha
    needed = log(1.0 / alpha)
    harm, crash = float(weighed.harm[0]), float(weighed.crash[0])
    crash_carried = {
        name: float(arm.crash.log_evidence(1.0 - state.spent, alone=True)[0, 0]) + log(core.crash_weights[name])
        for name, arm in zip((m.name for m in core.metrics), state.metrics, strict=True)
        if name in core.crash_weights
    }
    carried = {name: float(weighed.metrics[name][0]) + log(weight) for name, weight in core.harm_weights.items()}
    for name, value in crash_carried.items():
        carried[name] = float(np.logaddexp(carried.get(name, -np.inf), value))
    harmful = leading(carried, harm) if harm >= needed else []
    signals = [m.name for m in core.metrics if m.role == "signal" and m.name in core.limits]
    signalling = (
        leading(
            {name: float(weighed.metrics[name][0]) - log(len(signals)) for name in signals}, float(weighed.signals[0])
        )
        if float(weighed.signals[0]) >= needed
        else []
    )
    verdicts = [
        _verdict(core, metric, window, arm, missing, harmful + signalling, float(weighed.metrics[metric.name][0]))
        for metric, window, arm in zip(core.metrics, windows, state.metrics, strict=True)
    ]
    required = [m.name for m in core.metrics if m.role == "guardrail" and m.name in core.limits]
    finding, reason = conclude(
        Case(
            verdicts=verdicts,
            harm=harm,
            crash=crash,
            alpha=alpha,
            silent={name: missing[name] for name in required if name in missing},
            crashed=leading(crash_carried, crash),
            harmful=harmful,
            signals=signalling,
            bake=True,
        )
    )
    ordered = sorted(windows, key=lambda window: window.metric.kind != "ratio")
    return Evaluation(
        finding=finding,
        reason=reason,
        verdicts=verdicts,
        canary_requests=next((window.canary.total for window in ordered if not window.missing), 0),
        log_e_harm=round(harm, 4),
        evidence=sealed("bake", _VERSION, state.looks, encode(state, state.looks) | {"spent": state.spent, "due": due}),
    )


def _events(window: MetricWindow) -> tuple[int, str]:
    """Events of the window, or requests above the objective's bound; and why they cannot be told."""
    metric = window.metric
    if metric.kind == "ratio" or metric.objective is None:
        return window.canary.events, ""
    under = metric.objective.under.total_seconds()
    bound = latency.objective_bound(window.bounds, under)
    if bound < 0:
        return (
            0,
            f"no bucket bound at or below the objective's {seconds(under)} (the lowest is {seconds(window.bounds[0])})",
        )
    return int(sum(window.canary.buckets[bound + 1 :])), ""


def _verdict(
    core: Bake,
    metric: Metric,
    window: MetricWindow,
    arm: OneArm,
    missing: dict[str, str],
    failing: list[str],
    log_e: float,
) -> MetricVerdict:
    limit = core.limits.get(metric.name)
    requests, events = int(arm.canary[0, 0]), int(arm.canary_events[0, 0])
    share = events / requests if requests else None
    verdict: VerdictName = "inconclusive" if limit is None else "pass"
    if metric.name in failing:
        verdict = "fail"
    elif metric.name in missing:
        verdict = "no_data"
    text = f"{metric.name}: {_level(metric, window, share)}"
    text += ", no absolute limit: shown only" if limit is None else f", at most {percent(limit)} allowed"
    text += f", after {number(requests)} requests at 100 %"
    if metric.name in missing:
        text += f"; no data in this look: {missing[metric.name]}"
    return MetricVerdict(
        verdict=verdict,
        metric=metric.name,
        role=metric.role,
        sentence=text,
        log_e_harm=round(log_e, 4),
        canary=None if share is None or (metric.kind == "latency" and limit is None) else float(f"{share:.6g}"),
        canary_requests=requests,
    )


def _level(metric: Metric, window: MetricWindow, share: float | None) -> str:
    if metric.kind == "ratio":
        return percent(share)
    if metric.objective is None:
        return f"p99 {seconds(latency.quantile(window.canary.buckets, window.bounds, 0.99))} in this look"
    under = metric.objective.under.total_seconds()
    bound = latency.objective_bound(window.bounds, under)
    if bound < 0:
        return f"share above {seconds(under)} unknown"
    at = window.bounds[bound]
    text = f"{percent(share)} above {seconds(at)}"
    if abs(at - under) > 1e-9 * under:
        text += f" (the bound below the objective's {seconds(under)}, which is none itself)"
    return text
