"""One decision of the bake: the canary alone against absolute limits."""

from __future__ import annotations

from dataclasses import replace
from math import fsum, isfinite, log

import numpy as np

from coalmine.analysis import latency
from coalmine.analysis.bake import SHOWN, Bake, LevelCounts, OneArm
from coalmine.analysis.coarse import coarsened
from coalmine.analysis.findings import Case, conclude, leading
from coalmine.analysis.kinds import AnyCounts, AnyState
from coalmine.analysis.metrics import Weighed
from coalmine.analysis.readings import significant
from coalmine.analysis.sentences import amount, number, percent, seconds
from coalmine.analysis.starvation import silence_alone
from coalmine.analysis.state import decode, encode, opened, sealed
from coalmine.analysis.traffic_order import canary_requests
from coalmine.analysis.windows import MetricWindow, read_windows
from coalmine.records import EvaluateRequest, Evaluation, MetricVerdict, VerdictName
from coalmine.spec.metric_rules import COUNTS_REQUESTS
from coalmine.spec.metrics import Metric

_VERSION = 1


def evaluate_bake(request: EvaluateRequest) -> Evaluation:
    """Fold one look at 100 % into the bake's own evidence.

    ``no_harm`` as finding means here: every guardrail with a limit has data, and none is violated so far.

    Raises:
        InputError: counts or evidence that cannot be; names field, value and mend.
    """
    judge, core = request.judge, Bake(request.judge)
    windows = read_windows(judge.metrics, coarsened(request.counts, judge.metrics), compare=False)
    written = opened(request.evidence, "bake", _VERSION)
    state = core.start(1)
    if written:
        state = replace(decode(state, written), looks=int(written["looks"]), spent=float(written["spent"]))
    due: dict[str, float] = dict(written.get("due", {}))
    missing: dict[str, str] = {}
    counts: list[LevelCounts | AnyCounts] = []
    for window, arm in zip(windows, state.metrics, strict=True):
        name = window.metric.name
        reason = window.missing
        if not reason and window.metric.kind in COUNTS_REQUESTS:
            reason, overdue = silence_alone(window, due.pop(name, 0.0), state.looks, float(arm.canary.sum()))
            if overdue:
                due[name] = round(overdue, 3)
        taken: LevelCounts | AnyCounts
        if name in core.absolute:
            _, taken, why = core.absolute[name].take((), window, None, reason)
        else:
            level, why = (0, reason) if reason else _events(window)
            present = not why and window.metric.kind not in SHOWN
            taken = LevelCounts(np.array([window.canary.total]), np.array([level]), np.array([present]))
        if why:
            missing[name] = why
        counts.append(taken)
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
    signals = core.signals
    broken = [
        m
        for m in core.metrics
        if m.name in weighed.absolute and (fact := weighed.absolute[m.name].fact) and fact.broken[0]
    ]
    failing = harmful + [m.name for m in broken]
    signalling = (
        leading(
            {name: float(weighed.metrics[name][0]) - log(len(signals)) for name in signals}, float(weighed.signals[0])
        )
        if float(weighed.signals[0]) >= needed
        else []
    )
    verdicts = [
        _absolute(core, metric, arm, missing, failing + signalling, weighed.absolute[metric.name])
        if metric.name in core.absolute
        else _verdict(core, metric, window, arm, missing, failing + signalling, float(weighed.metrics[metric.name][0]))
        for metric, window, arm in zip(core.metrics, windows, state.metrics, strict=True)
    ]
    required = [m.name for m in core.metrics if m.role == "guardrail" and m.name in core.judged]
    finding, reason = conclude(
        Case(
            verdicts=verdicts,
            harm=harm,
            crash=crash,
            alpha=alpha,
            silent={name: missing[name] for name in required if name in missing},
            crashed=leading(crash_carried, crash),
            harmful=harmful,
            broken=[m.name for m in broken if m.role == "guardrail"],
            signals=signalling + [m.name for m in broken if m.role == "signal"],
            bake=True,
            above=[
                verdict.metric
                for verdict in verdicts
                if verdict.verdict == "inconclusive" and verdict.metric in core.limits
            ],
        )
    )
    return Evaluation(
        finding=finding,
        reason=reason,
        verdicts=verdicts,
        canary_requests=canary_requests(windows),
        log_e_harm=round(harm, 4) if isfinite(harm) else 0.0,
        evidence=sealed("bake", _VERSION, state.looks, encode(state, state.looks) | {"spent": state.spent, "due": due}),
    )


def _events(window: MetricWindow) -> tuple[int, str]:
    """Events of the window, or requests above the objective's bound; and why they cannot be told."""
    metric = window.metric
    if metric.kind != "latency" or metric.objective is None:
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
    above = limit is not None and share is not None and share > limit
    verdict: VerdictName = "inconclusive" if limit is None or above else "pass"
    if metric.name in failing:
        verdict = "fail"
    elif metric.name in missing:
        verdict = "no_data"
    text = f"{metric.name}: {_level(metric, window, share)}"
    text += ", no absolute limit: shown only" if limit is None else f", at most {percent(limit)} allowed"
    if metric.kind in COUNTS_REQUESTS:
        text += f", after {number(requests)} requests at 100 %"
    if above and metric.name not in failing:
        text += ", which chance and its noise may explain"
    if metric.name in missing:
        text += f"; no data in this look: {missing[metric.name]}"
    return MetricVerdict(
        verdict=verdict,
        metric=metric.name,
        kind=metric.kind,
        role=metric.role,
        sentence=text,
        log_e_harm=round(log_e, 4),
        # A latency's level is a time: what share was above the objective's is in the sentence.
        canary=None if share is None or metric.kind == "latency" else float(f"{share:.6g}"),
        canary_requests=requests,
    )


def _absolute(
    core: Bake,
    metric: Metric,
    arm: AnyState,
    missing: dict[str, str],
    failing: list[str],
    weighed: Weighed,
) -> MetricVerdict:
    reading = core.absolute[metric.name].read([metric.name], arm, weighed, core.judge.policy.alpha)[0]
    verdict: VerdictName = "fail" if metric.name in failing else "no_data" if metric.name in missing else "pass"
    return MetricVerdict(
        verdict=verdict,
        metric=metric.name,
        kind=metric.kind,
        role=metric.role,
        sentence=reading.text + (f"; no data in this look: {missing[metric.name]}" if metric.name in missing else ""),
        effect=reading.effect,
        interval=reading.interval,
        margin=reading.margin,
        measure=reading.measure,
        worse=reading.worse,
        log_e_harm=round(float(weighed.harm[0]), 4),
        canary=None if reading.canary is None else significant(reading.canary),
        canary_requests=reading.canary_requests,
    )


def _level(metric: Metric, window: MetricWindow, share: float | None) -> str:
    if metric.kind == "ratio":
        return percent(share)
    if metric.kind == "count":
        return f"{number(window.canary.events)} in this look"
    if metric.kind == "value":
        values = window.canary.values
        shown = amount(fsum(values) / len(values), metric.suffix or "") if values else "unknown"
        return f"{shown} in this look"
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
