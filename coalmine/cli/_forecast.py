"""What ``coalmine plan`` forecasts from: the load and the baseline, stated, measured or assumed."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from coalmine.analysis.comparison import channel_names
from coalmine.analysis.forecast import Forecast, Forecaster, Level, Outlook
from coalmine.analysis.forecast.advice import about, chance
from coalmine.analysis.grids import MIN_HISTORY_LOOKS
from coalmine.analysis.latency import QUANTILE_SLOTS
from coalmine.analysis.sentences import number, percent, seconds, times
from coalmine.cli._output import columns
from coalmine.errors import CoalmineError, InputError
from coalmine.records import ChannelHistory, HistoryRequest, Judge, ServiceHistory
from coalmine.spec.canary import CanarySpec, Metric
from coalmine.spec.durations import format_duration
from coalmine.spec.plan import plan

if TYPE_CHECKING:
    from coalmine.analysis.forecast.told import Cost, Finding, When

KINDS = ("ratio", "latency")
"""Kinds of metrics that are forecast."""
ASSUMED_RATE = 0.005
"""Events per request when nobody says: what a service with an objective of 99.5 % may have."""
ASSUMED_SPREAD = 0.6
"""Standard deviation of the logarithm of the latencies when nobody says."""
ASSUMED_TAIL = QUANTILE_SLOTS["above_p97"]
_NORMAL = NormalDist()


@dataclass
class _Baselines:
    rps: float
    levels: dict[str, Level] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


def forecast(spec: CanarySpec, args: argparse.Namespace) -> Forecast:
    """The forecast that was asked for.

    Raises:
        InputError: options that contradict each other, or what was stated cannot be.
        SourceError, LedgerError: what was to be read could not be.
    """
    if args.rps is not None and args.connect:
        raise InputError("--rps and --connect: give one; --connect measures the requests per second itself")
    if args.rps is None and not args.connect:
        given = next(name for name in ("regression", "baseline", "history") if getattr(args, name))
        raise InputError(f"--{given} is for a forecast: give --rps N or --connect too")
    stated = _stated(spec, args.baseline or [])
    baselines = _measured(spec, stated) if args.connect else _Baselines(args.rps)
    for metric in spec.metrics:
        if metric.kind not in KINDS or metric.name in baselines.levels:
            continue
        share = stated.get(metric.name)
        baselines.levels[metric.name] = _level(metric, share)
        baselines.origins[metric.name] = "stated" if share is not None else "assumed"
    judge = Judge(
        metrics=[metric for metric in spec.metrics if metric.kind in KINDS],
        policy=spec.policy,
        planned_looks=plan(spec).looks,
        history=_history(spec, args.history or "ledger"),
    )
    if not judge.metrics:
        raise InputError(f"metrics: none is of a kind that is forecast ({', '.join(KINDS)})")
    sizes = sorted({*(args.regression or [2.0]), *(metric.no_harm for metric in judge.metrics)})
    outlook = Outlook(judge, baselines.rps, baselines.levels)
    return Forecaster(outlook, spec.steps, baselines.origins, sizes).forecast()


def _stated(spec: CanarySpec, pairs: list[tuple[str, float]]) -> dict[str, float]:
    known = [metric.name for metric in spec.metrics if metric.kind in KINDS]
    for name, _ in pairs:
        if name not in known:
            raise InputError(f"--baseline {name}=...: {name!r} is not a metric of the spec ({', '.join(known)})")
    return dict(pairs)


def _measured(spec: CanarySpec, stated: dict[str, float]) -> _Baselines:
    from coalmine.cli._measured import measure

    measured = measure(spec, KINDS)
    if not measured:
        raise InputError(f"metrics: none is of a kind that is forecast ({', '.join(KINDS)})")
    ratios = [measured[metric.name].rps for metric in spec.metrics if metric.kind == "ratio"]
    found = _Baselines(float(f"{(ratios or [one.rps for one in measured.values()])[0]:.4g}"))
    for metric in spec.metrics:
        one = measured.get(metric.name)
        if one is None or metric.name in stated:
            continue
        period = f"measured over {format_duration(one.period)}"
        if metric.kind == "ratio":
            events = one.counts.events or 0
            if not events:
                period += f": none of {number(one.counts.total)}, taken for half a one"
            found.levels[metric.name] = Level.of_ratio(min(max(events, 0.5) / one.counts.total, 0.999))
        else:
            buckets = np.asarray(one.counts.buckets, float)
            found.levels[metric.name] = Level(buckets / buckets.sum(), one.bounds)
        found.origins[metric.name] = period
    return found


def _level(metric: Metric, share: float | None) -> Level:
    if metric.kind == "ratio":
        return Level.of_ratio(ASSUMED_RATE if share is None else share)
    # Bounds as a histogram would have them, of log-normal times; the one that matters is the objective's, or p97.
    under = 1.0
    if metric.objective is not None:
        under = metric.objective.under.total_seconds()
        share = (1.0 - metric.objective.share) / 2.0 if share is None else share
    share = ASSUMED_TAIL if share is None else share
    above = sorted({0.9, 0.75, 0.5, 0.25, 0.1, 0.03, 0.01, 0.003, 0.001, share}, reverse=True)
    middle = math.log(under) - ASSUMED_SPREAD * _NORMAL.inv_cdf(1.0 - share)
    bounds = tuple(
        under if one == share else math.exp(middle + ASSUMED_SPREAD * _NORMAL.inv_cdf(1.0 - one)) for one in above
    )
    return Level(-np.diff(np.array([1.0, *above, 0.0])), bounds)


def _history(spec: CanarySpec, wanted: str) -> ServiceHistory | None:
    if wanted == "none":
        return None
    if wanted == "quiet":
        quiet = ChannelHistory(tau2=0.0)
        channels = {
            metric.name: dict.fromkeys(channel_names(metric), quiet) for metric in spec.metrics if metric.kind in KINDS
        }
        return ServiceHistory(looks=MIN_HISTORY_LOOKS, channels=channels)
    return _of_ledger(spec) if Path(spec.ledger.path).is_dir() else None


def _of_ledger(spec: CanarySpec) -> ServiceHistory:
    import asyncio

    from temporalio.exceptions import ApplicationError

    from activities.ledger import LedgerActivities

    request = HistoryRequest(
        service=spec.service,
        environment=spec.environment,
        region=spec.region,
        metrics=[metric for metric in spec.metrics if metric.kind in KINDS],
        ledger=spec.ledger,
        now=datetime.now(UTC),
    )
    try:
        return asyncio.run(LedgerActivities().read_history(request))
    except ApplicationError as error:
        if isinstance(error.__cause__, CoalmineError):
            raise error.__cause__ from None
        raise


# ------------------------------------------------------------------------------------------------------ words


def text(found: Forecast, spec: CanarySpec) -> str:
    """The forecast for people."""
    noise = "the service's noise is known"
    if not found.history:
        asks = (
            "a small regression is held and a human asked"
            if spec.policy.no_history == "hold"
            else "as if it were known"
        )
        noise = f"the service's noise is not known yet (no history): {asks}"
    head = [f"forecast at {found.rps:g} requests/s; {noise}"]
    for base in found.baselines:
        slow = "" if base.slower_than is None else f" slower than {seconds(base.slower_than)}"
        if base.slower_than is not None and base.origin == "assumed" and _objective(spec, base.metric) is None:
            slow = " slower than its p97"
        what = f"{percent(base.bad)} of the baseline's requests{slow}"
        head.append(f"{base.metric}: {what} ({base.origin}), margin {times(base.margin)}")
    rows: list[list[str]] = []
    for step in found.steps:
        first = True
        for one in step.findings:
            place = [str(step.number), f"{step.weight:g} %"] if first else ["", ""]
            what = "no harm" if one.regression is None else f"{times(one.regression)} worse"
            rows.append(
                [*place, one.metric, what, *_when(one.usual), *_when(one.sure), chance(one.by_end), _fixed(one)]
            )
            first = False
    table = columns(
        [
            "step",
            "canary",
            "metric",
            "found",
            "80 %: requests",
            "in",
            "95 %: requests",
            "in",
            "by its end",
            "fixed test",
        ],
        rows,
        right=[0, 1, 4, 5, 6, 7, 8, 9],
    )
    tail = [
        "The regression is there from the start; requests (the canary's) and times count from the start of the step, "
        "were it to last as long as it takes. fixed test: requests of a test that may look once, 80 %.",
        f"no harm in every guardrail by the end of the steps: {chance(found.promotable)} of releases without change",
        *(_cost(cost) for cost in found.costs),
    ]
    return "\n".join(["", *head, "", table, "", *tail])


def _objective(spec: CanarySpec, name: str) -> object | None:
    return next((metric.objective for metric in spec.metrics if metric.name == name), None)


def _when(when: When | None) -> tuple[str, str]:
    if when is None:
        return "-", "over 30d"
    return ("-", "earlier") if not when.looks else (number(when.requests), about(when.lasts))


def _fixed(finding: Finding) -> str:
    return "" if finding.fixed is None else number(finding.fixed)


def _cost(cost: Cost) -> str:
    end = "until it is caught (95 %)" if cost.caught else "by the end of the steps, not surely caught by then"
    line = (
        f"worst case of {cost.metric}: {times(cost.regression)} adds about {number(cost.bad_requests)} bad requests "
        f"{end}"
    )
    if cost.budget:
        line += f", {percent(cost.bad_requests / cost.budget)} of the error budget of 30 days ({number(cost.budget)})"
    return line
