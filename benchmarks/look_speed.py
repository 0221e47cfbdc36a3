"""How long the judge takes for one look, and how large the evidence grows: ten metrics, a thousand looks, one core.

Three sets of ten metrics, with a service's history: five error ratios and five latency histograms of twelve buckets;
the same with a margin of their own each; and all six kinds mixed. Every look goes through JSON, as Temporal carries it.
Timed is ``coalmine.analysis.evaluate`` alone, after a hundred looks of warm-up, with Python's garbage collector on as
in a worker. Each set is measured several times, in turns, and the median of the repetitions counts: a machine is never
quiet all the time. The limit holds for the processor time of the thread, which waits for nothing. The clock's time,
which tells what else ran, is recorded beside it with the load.

A core may be shared all the same: two threads of a processor, of two virtual machines perhaps, take twice as long for
what each would do alone, and no clock of the thread shows it. So before and after every look a small sum is worked
out that is always the same; how long it took at its best is recorded, by which two machines can be compared, how much
longer it took, and what the looks took at both sides of which it took no more than an eighth longer. The limit is that
of all looks nevertheless.

The limits are 5 ms at the 95th percentile for each set, 4 KB of state for errors + latency, also with an objective and
up to seventy bounds, and 2.5 KB for each further metric.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np

from benchmarks.report import quantile, write
from coalmine.analysis import evaluate, summarise_history
from coalmine.records import ArmCounts, BurnCounts, EvaluateRequest, Evidence, Judge, MetricCounts
from coalmine.spec.canary import Policy
from coalmine.spec.metrics import Limits, Metric, Objective, Slo

BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
REQUESTS, WEIGHT = 2_000, 0.1
WARM_UP, LOOKS, REPETITIONS = 100, 1_000, 3
STATE_LOOKS = 360
MANY_BOUNDS = (20, 40, 70)
OBJECTIVE = Objective(under=timedelta(milliseconds=120), share=0.75)
UNDISTURBED = 1.125
LIMIT_MS, LIMIT_PAIR, LIMIT_FURTHER = 5.0, 4_096, 2_560


def counts(metric: Metric, rng: np.random.Generator, bounds: Sequence[float] = BOUNDS) -> MetricCounts:
    """One window of both arms, alike but for chance."""
    if metric.kind == "threshold":
        return MetricCounts(metric=metric.name, value=float(rng.normal(400.0, 20.0)))
    canary = int(rng.binomial(REQUESTS, WEIGHT))
    totals = {"canary": canary, "baseline": REQUESTS - canary}
    arms = {arm: _arm(metric, rng, total, bounds) for arm, total in totals.items()}
    return MetricCounts(metric=metric.name, bounds=[*bounds] if metric.kind == "latency" else None, **arms)


def _arm(metric: Metric, rng: np.random.Generator, total: int, bounds: Sequence[float]) -> ArmCounts:
    if metric.kind == "latency":
        seconds = 0.08 * np.exp(0.6 * rng.standard_normal(total))
        filled = np.bincount(np.searchsorted(bounds, seconds), minlength=len(bounds) + 1)
        return ArmCounts(total=total, buckets=filled.tolist())
    if metric.kind == "value":
        return ArmCounts(values=(500.0 * np.exp(0.1 * rng.standard_normal(3))).tolist())
    if metric.kind == "count":
        return ArmCounts(events=int(rng.poisson(8.0 * total / REQUESTS)))
    burn = None
    if metric.kind == "slo":
        windows = ((300.0, 30), (1_800.0, 180), (3_600.0, 360), (21_600.0, 2_160))
        burn = [
            BurnCounts(seconds=seconds, total=looks * total, events=int(rng.binomial(looks * total, 0.005)))
            for seconds, looks in windows
        ]
    return ArmCounts(total=total, events=int(rng.binomial(total, 0.005)), burn=burn)


class Took(NamedTuple):
    """Seconds a look took."""

    processor: float
    clock: float
    before: float
    """What the reference took before it, of the processor, as does the next."""
    after: float


def reference() -> float:
    """Seconds of the processor for what is always the same: calls of numpy on few numbers, as a look makes them."""
    began = time.thread_time()
    values = np.linspace(0.0, 1.0, 64)
    for _ in range(50):
        values = np.minimum(np.exp(-values) + 0.1, 1.0)
    return time.thread_time() - began


def judged(metrics: list[Metric], looks: int, bounds: Sequence[float] = BOUNDS) -> tuple[list[Took], list[Evidence]]:
    """What each look took, and the evidence after it."""
    rng = np.random.default_rng(7)
    rows = [[counts(metric, rng, bounds) for metric in metrics] for _ in range(120)]
    judge = Judge(
        metrics=metrics,
        policy=Policy(look=timedelta(seconds=10)),
        planned_looks=looks,
        history=summarise_history(rows, 10.0, metrics),
    )
    took: list[Took] = []
    every: list[Evidence] = []
    for number in range(looks):
        request = EvaluateRequest(
            judge=judge,
            counts=[counts(metric, rng, bounds) for metric in metrics],
            share=WEIGHT,
            evidence=every[-1] if every else None,
            new_step=number == 0,
        )
        before = reference()
        began, spent = time.perf_counter(), time.thread_time()
        evaluation = evaluate(request)
        processor, clock = time.thread_time() - spent, time.perf_counter() - began
        took.append(Took(processor, clock, before, reference()))
        every.append(Evidence.model_validate_json(evaluation.evidence.model_dump_json()))
    return took, every


def size(evidence: Evidence) -> int:
    """Bytes of the state as JSON."""
    return len(json.dumps(evidence.model_dump(mode="json"), separators=(",", ":")))


def sets() -> dict[str, list[Metric]]:
    """The sets of ten metrics, by the name of their figures."""
    ten = [
        *(Metric(name=f"errors-{number}", kind="ratio") for number in range(5)),
        *(Metric(name=f"latency-{number}", kind="latency") for number in range(5)),
    ]
    apart = [metric.model_copy(update={"margin": 1.1 + 0.01 * place}) for place, metric in enumerate(ten)]
    mixed = [
        Metric(name="errors", kind="ratio"),
        Metric(name="retries", kind="ratio", margin=1.3),
        Metric(name="latency", kind="latency"),
        Metric(name="writes", kind="latency", objective=OBJECTIVE),
        Metric(name="cpu", kind="value"),
        Metric(name="memory", kind="value", tolerance=5.0),
        Metric(name="restarts", kind="count"),
        Metric(name="orders", kind="count", tolerance=10.0, direction="down"),
        Metric(name="availability", kind="slo", slo=Slo(objective=0.99)),
        Metric(name="queue", kind="threshold", limits=Limits(max=1_000.0)),
    ]
    return {"alike": ten, "own_margins": apart, "six_kinds": mixed}


def timed(looks: list[Took]) -> dict[str, float | None]:
    """Milliseconds of the processor, and of the clock; of all looks, and of those that nothing disturbed."""
    warm = looks[WARM_UP:]
    processor, clock = [1_000.0 * look.processor for look in warm], [1_000.0 * look.clock for look in warm]
    references = [seconds for look in warm for seconds in (look.before, look.after)]
    # The very shortest may be the clock's.
    best = quantile(references, 0.01)
    undisturbed = [1_000.0 * look.processor for look in warm if max(look.before, look.after) <= UNDISTURBED * best]
    return {
        "p50_ms": quantile(processor, 0.5),
        "p95_ms": quantile(processor, 0.95),
        "max_ms": max(processor),
        "clock_p50_ms": quantile(clock, 0.5),
        "clock_p95_ms": quantile(clock, 0.95),
        "reference_best_ms": 1_000.0 * best,
        "reference_p50": quantile(references, 0.5) / best,
        "reference_p95": quantile(references, 0.95) / best,
        "undisturbed_looks": len(undisturbed),
        "undisturbed_p95_ms": quantile(undisturbed, 0.95) if undisturbed else None,
    }


def speed(repetitions: int = REPETITIONS, looks: int = WARM_UP + LOOKS) -> dict[str, dict[str, Any]]:
    """The median of the repetitions of each set, which take turns."""
    found: dict[str, list[dict[str, float | None]]] = {}
    for _ in range(repetitions):
        for name, metrics in sets().items():
            found.setdefault(name, []).append(timed(judged(metrics, looks)[0]))
    return {
        name: {figure: _median([one[figure] for one in every]) for figure in every[0]} for name, every in found.items()
    }


def _median(values: list[float | None]) -> float | None:
    """Of those there are."""
    there = [value for value in values if value is not None]
    return float(f"{statistics.median(there):.3g}") if there else None


def state() -> dict[str, Any]:
    """The largest the evidence is in the course of a rollout, in bytes."""
    pair = [Metric(name="errors", kind="ratio"), Metric(name="latency", kind="latency")]
    small, large = (
        max(size(evidence) for evidence in judged(metrics, STATE_LOOKS)[1]) for metrics in (pair, sets()["alike"])
    )
    strict = [pair[0], pair[1].model_copy(update={"objective": OBJECTIVE})]
    many = {
        str(number): max(size(evidence) for evidence in judged(strict, STATE_LOOKS, bounds)[1])
        for number, bounds in ((number, finer(number)) for number in MANY_BOUNDS)
    }
    return {
        "state_bytes_errors_latency": small,
        "state_bytes_each_further": round((large - small) / (len(sets()["alike"]) - len(pair))),
        "state_bytes_objective_by_bounds": many,
    }


def finer(number: int) -> list[float]:
    """So many bounds from 1 ms to 10 s, evenly apart."""
    return [round(float(bound), 5) for bound in np.geomspace(0.001, 10.0, number)]


def main() -> int:
    """Measure, print, write; 1 when a limit is missed."""
    by_set, sizes = speed(), state()
    figures = {
        "metrics": 10,
        "looks": LOOKS,
        "repetitions": REPETITIONS,
        "load_average": round(os.getloadavg()[0], 2),
        "sets": by_set,
        **sizes,
    }
    print(json.dumps(figures, indent=2))
    print(write("look_speed", figures))
    met = (
        all(one["p95_ms"] <= LIMIT_MS for one in by_set.values())
        and max(sizes["state_bytes_errors_latency"], *sizes["state_bytes_objective_by_bounds"].values()) <= LIMIT_PAIR
        and sizes["state_bytes_each_further"] <= LIMIT_FURTHER
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
