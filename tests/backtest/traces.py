"""Traces for tests: seeded, as the lines of a file, and judged one look at a time as the workflow does."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from coalmine.analysis import evaluate
from coalmine.backtest import Rules, Trace, read_trace
from coalmine.records import EvaluateRequest, Evaluation, Evidence
from coalmine.spec.canary import Policy
from coalmine.spec.metrics import Metric

BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
START = datetime(2026, 1, 1, tzinfo=UTC)
TEN = timedelta(seconds=10)


def errors(**options: Any) -> Metric:
    return Metric(name="errors", kind="ratio", **options)


def latency(**options: Any) -> Metric:
    return Metric(name="latency", kind="latency", **options)


def rules(*metrics: Metric, **options: Any) -> Rules:
    policy: dict[str, Any] = {"look": TEN}
    policy |= {name: options.pop(name) for name in ("alpha", "no_history", "look") if name in options}
    return Rules(list(metrics) or [errors()], Policy(**policy), **options)


def ratio(events: int, total: int) -> dict[str, int]:
    return {"events": events, "total": total}


def buckets(counts: Sequence[int], bounds: Sequence[float] = BOUNDS) -> dict[str, list[Any]]:
    return {"le": [*bounds, "+Inf"], "counts": [int(count) for count in counts]}


def line(number: int, observations: dict[str, Any], weight: float | None = 10, step: timedelta = TEN) -> str:
    at = (START + number * step).isoformat().replace("+00:00", "Z")
    return json.dumps({"at": at, "weight": weight, "observations": observations})


def draw(
    rng: np.random.Generator,
    looks: int,
    *,
    canary: Callable[[int], float] = lambda look: 0.005,
    baseline: float = 0.005,
    slower: float = 1.0,
    weight: Callable[[int], float] = lambda look: 10,
    requests: int = 2000,
    bounds: Callable[[int], Sequence[float]] = lambda look: BOUNDS,
    kinds: Sequence[str] = ("errors", "latency"),
) -> list[str]:
    """Lines of a trace."""
    lines = []
    for look in range(looks):
        n_c = int(rng.binomial(requests, weight(look) / 100))
        arms: dict[str, dict[str, Any]] = {"errors": {}, "latency": {}}
        for name, number, rate, factor in (
            ("canary", n_c, canary(look), slower),
            ("baseline", requests - n_c, baseline, 1.0),
        ):
            arms["errors"][name] = ratio(int(rng.binomial(number, min(rate, 1.0))), number)
            seconds = 0.08 * factor * np.exp(0.6 * rng.standard_normal(number))
            edges = bounds(look)
            counts = np.bincount(np.searchsorted(edges, seconds), minlength=len(edges) + 1)
            arms["latency"][name] = buckets(list(counts), edges)
        lines.append(line(look, {kind: arms[kind] for kind in kinds}, weight(look)))
    return lines


def read(lines: Sequence[str], rules: Rules, name: str = "trace.jsonl") -> Trace:
    return read_trace(lines, name, rules.metrics)


def one_by_one(rules: Rules, trace: Trace) -> list[Evaluation]:
    """Every look as the workflow judges it: alone, its evidence through JSON in between."""
    judge = rules.judge(trace.looks)
    told: list[Evaluation] = []
    for look in range(trace.looks):
        evidence = Evidence.model_validate_json(told[-1].evidence.model_dump_json()) if told else None
        weight = trace.weights[look]
        request = EvaluateRequest(
            judge=judge,
            counts=trace.counts(look),
            share=None if weight is None else weight / 100,
            new_step=trace.new_steps[look],
            extension=look >= judge.planned_looks,
            evidence=evidence,
        )
        told.append(evaluate(request))
    return told
