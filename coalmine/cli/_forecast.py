"""What ``coalmine plan`` forecasts from: the load and the baseline, stated, measured or assumed."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import NormalDist, fmean

import numpy as np

from coalmine.analysis.coarse import judged_bounds
from coalmine.analysis.comparison import DIFFERENCE, channel_names, known_history
from coalmine.analysis.forecast import Forecast, Forecaster, Level, Outlook
from coalmine.analysis.forecast.outlook import GaugeLevel
from coalmine.analysis.grids import MIN_HISTORY_LOOKS
from coalmine.analysis.latency import QUANTILE_SLOTS, merge_buckets
from coalmine.analysis.sentences import number
from coalmine.errors import CoalmineError, InputError
from coalmine.records import ChannelHistory, HistoryRequest, Judge, ServiceHistory
from coalmine.spec.canary import CanarySpec
from coalmine.spec.durations import format_duration
from coalmine.spec.metric_rules import COUNTS_REQUESTS, SMALLEST_SHARE
from coalmine.spec.metrics import Metric
from coalmine.spec.plan import plan

KINDS = ("ratio", "latency", "count", "value", "slo")
"""Kinds of metrics whose decision is a matter of chance, and forecast."""
COMPARED = ("ratio", "latency", "count", "value")
"""Those that compare the versions."""
"""Those whose baseline is a share of requests."""
ASSUMED_EVENTS = 60.0
"""Events of a count per hour when nobody says."""
LEAST_EVENTS, MOST_EVENTS = 1e-9, 1e15
"""Events of a count per hour that can be forecast: from one in a hundred thousand years to more than there are."""
ASSUMED_NOISE = 0.05
"""Standard deviation of a minute's difference of a value, as a part of its level, when nobody says."""
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
    gauges: dict[str, float] = field(default_factory=dict)
    """Levels of values, in their own unit."""
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
        given = next(name for name in ("regression", "burn", "baseline", "noise", "history") if getattr(args, name))
        raise InputError(f"--{given} is for a forecast: give --rps N or --connect too")
    stated = _stated(spec, args.baseline or [])
    baselines = _measured(spec, stated) if args.connect else _Baselines(args.rps)
    for metric in spec.metrics:
        if metric.kind not in KINDS or metric.name in baselines.origins:
            continue
        share = stated.get(metric.name)
        baselines.origins[metric.name] = "stated" if share is not None else "assumed"
        if metric.kind == "value":
            baselines.gauges[metric.name] = _gauge(metric, share)
        else:
            baselines.levels[metric.name] = _level(metric, share)
    history = _history(spec, args.history or "ledger")
    judge = Judge(metrics=spec.metrics, policy=spec.policy, planned_looks=plan(spec).looks, history=history)
    sizes = sorted({*(args.regression or [2.0]), *(one.no_harm for one in judge.metrics if one.kind in COMPARED)})
    noises = _noises(spec, args.noise or [])
    gauges: dict[str, GaugeLevel] = {}
    for name, level in baselines.gauges.items():
        noise, origin = noises.get(name), "stated"
        if noise is None:
            noise, origin = _learnt_noise(judge, name)
        gauges[name] = GaugeLevel(level, noise)
        baselines.origins[name] += f"; noise {origin}" if origin != baselines.origins[name] else ""
    outlook = Outlook(judge, baselines.rps, baselines.levels, gauges)
    return Forecaster(outlook, spec.steps, baselines.origins, sizes, args.burn or ()).forecast()


def _stated(spec: CanarySpec, pairs: list[tuple[str, float]]) -> dict[str, float]:
    known = {metric.name: metric.kind for metric in spec.metrics if metric.kind in KINDS}
    for name, value in pairs:
        if name not in known:
            raise InputError(f"--baseline {name}=...: {name!r} is not a metric of the spec ({', '.join(known)})")
        if known[name] in COUNTS_REQUESTS and value > 1.0 - SMALLEST_SHARE:
            raise InputError(
                f"--baseline {name}={value:g}: {name} is of kind {known[name]}: give a share of requests between 0 and "
                f"1, such as {name}=0.002 or {name}=0.2%"
            )
        if known[name] == "count" and not LEAST_EVENTS <= value <= MOST_EVENTS:
            raise InputError(
                f"--baseline {name}={value:g}: {name} is of kind count: give events per hour, such as {name}=6 (from "
                f"{LEAST_EVENTS:g} to {MOST_EVENTS:g})"
            )
    return dict(pairs)


def _noises(spec: CanarySpec, pairs: list[tuple[str, float]]) -> dict[str, float]:
    known = [metric.name for metric in spec.metrics if metric.kind == "value"]
    for name, _ in pairs:
        if name not in known:
            raise InputError(
                f"--noise {name}=...: {name!r} is no value of the spec ({', '.join(known) or 'it has none'})"
            )
    return dict(pairs)


def _learnt_noise(judge: Judge, name: str) -> tuple[float, str]:
    """How a gauge scatters by the history, else what is assumed; and which."""
    history = known_history(judge)
    channel = history.channels.get(name, {}).get(DIFFERENCE) if history is not None else None
    if channel is None or not channel.tau2:
        return ASSUMED_NOISE, "assumed"
    return float(f"{math.sqrt(channel.tau2):.3g}"), "of its history"


def _gauge(metric: Metric, level: float | None) -> float:
    """The level of a value; without a tolerance it is no matter which."""
    if level is None and metric.tolerance:
        raise InputError(
            f"metrics.{metric.name}.tolerance: what {metric.tolerance:g} means depends on the level: give --baseline "
            f"{metric.name}=LEVEL, or --connect"
        )
    return 1.0 if level is None else level


def _measured(spec: CanarySpec, stated: dict[str, float]) -> _Baselines:
    from coalmine.cli._measured import measure

    measured = measure(spec, KINDS)
    of_kind = {kind: [measured[one.name].rps for one in spec.metrics if one.kind == kind] for kind in COUNTS_REQUESTS}
    counted = [rps for kind in COUNTS_REQUESTS for rps in of_kind[kind]]
    if not counted:
        raise InputError(
            f"--connect: no metric counts requests ({', '.join(COUNTS_REQUESTS)}): give --rps and --baseline instead"
        )
    found = _Baselines(float(f"{counted[0]:.4g}"))
    for metric in spec.metrics:
        one = measured.get(metric.name)
        if one is None or metric.name in stated:
            continue
        period = f"measured over {format_duration(one.period)}"
        if metric.kind == "value":
            level = fmean(one.counts.values or ())
            if level <= 0:
                raise InputError(
                    f"--connect: {metric.name} is {level:g}, and differences are told as parts of it: give --rps and "
                    "--baseline instead"
                )
            found.gauges[metric.name] = float(f"{level:.6g}")
        elif metric.kind == "count":
            events = one.counts.events or 0
            if not events:
                period += ": none, taken for half a one"
            found.levels[metric.name] = Level.of_count(max(events, 0.5) * (timedelta(hours=1) / one.period))
        elif metric.kind in ("ratio", "slo"):
            events = one.counts.events or 0
            if not events:
                period += f": none of {number(one.counts.total)}, taken for half a one"
            found.levels[metric.name] = Level.of_ratio(min(max(events, 0.5) / one.counts.total, 0.999))
        else:
            bounds = judged_bounds(one.bounds, metric)
            buckets = merge_buckets(np.asarray(one.counts.buckets, float), one.bounds, bounds)
            found.levels[metric.name] = Level(buckets / buckets.sum(), bounds)
        found.origins[metric.name] = period
    return found


def _level(metric: Metric, share: float | None) -> Level:
    if metric.kind == "count":
        return Level.of_count(ASSUMED_EVENTS if share is None else share)
    if metric.slo is not None:
        return Level.of_ratio((1.0 - metric.slo.objective) / 2.0 if share is None else share)
    if metric.kind == "ratio":
        return Level.of_ratio(ASSUMED_RATE if share is None else share)
    # Bounds as a histogram would have them, of log-normal times; the one that matters is the objective's, or p97.
    under = 1.0
    if metric.objective is not None:
        under = metric.objective.under.total_seconds()
        share = (1.0 - metric.objective.share) / 2.0 if share is None else share
    share = ASSUMED_TAIL if share is None else share
    above = sorted({0.9, 0.75, 0.5, 0.25, 0.1, 0.03, 0.01, 0.003, 0.001, share}, reverse=True)
    # Of the share above, not of one less it, which is 1 for a share that is small enough.
    middle = math.log(under) + ASSUMED_SPREAD * _NORMAL.inv_cdf(share)
    bounds = tuple(under if one == share else math.exp(middle - ASSUMED_SPREAD * _NORMAL.inv_cdf(one)) for one in above)
    return Level(-np.diff(np.array([1.0, *above, 0.0])), bounds)


def _history(spec: CanarySpec, wanted: str) -> ServiceHistory | None:
    if wanted == "none":
        return None
    if wanted == "quiet":
        quiet = ChannelHistory(tau2=0.0)
        channels = {
            metric.name: dict.fromkeys(channel_names(metric), quiet)
            for metric in spec.metrics
            if channel_names(metric) and metric.kind != "value"
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
        metrics=spec.metrics,
        ledger=spec.ledger,
        now=datetime.now(UTC),
    )
    try:
        return asyncio.run(LedgerActivities().read_history(request))
    except ApplicationError as error:
        if isinstance(error.__cause__, CoalmineError):
            raise error.__cause__ from None
        raise
