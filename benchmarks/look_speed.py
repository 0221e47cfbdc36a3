"""How long the judge takes for one look, and how large the evidence grows: ten metrics, a thousand looks, one core.

Five error ratios and five latency histograms of twelve buckets, with a service's history; every look goes through JSON,
as Temporal carries it. Timed is ``coalmine.analysis.evaluate`` alone, after a hundred looks of warm-up. The limits are
5 ms at the 95th percentile, 4 KB of state for errors + latency, and 2.5 KB for each further metric.

Metrics of a kind that share margin, floor and bounds are judged together. The same ten with a margin of their own each
share nothing: what that costs is measured too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import timedelta

import numpy as np

from benchmarks.report import quantile, write
from coalmine.analysis import evaluate, summarise_history
from coalmine.records import ArmCounts, EvaluateRequest, Evidence, Judge, MetricCounts
from coalmine.spec.canary import Metric, Policy

BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
REQUESTS, WEIGHT = 2_000, 0.1
WARM_UP, LOOKS = 100, 1_000
LIMIT_MS, LIMIT_PAIR, LIMIT_FURTHER = 5.0, 4_096, 2_560


def counts(metric: Metric, rng: np.random.Generator) -> MetricCounts:
    """One window of both arms, alike but for chance."""
    canary = int(rng.binomial(REQUESTS, WEIGHT))
    arms = {}
    for arm, total in (("canary", canary), ("baseline", REQUESTS - canary)):
        if metric.kind == "ratio":
            arms[arm] = ArmCounts(total=total, events=int(rng.binomial(total, 0.005)))
        else:
            seconds = 0.08 * np.exp(0.6 * rng.standard_normal(total))
            filled = np.bincount(np.searchsorted(BOUNDS, seconds), minlength=len(BOUNDS) + 1)
            arms[arm] = ArmCounts(total=total, buckets=[int(count) for count in filled])
    return MetricCounts(metric=metric.name, bounds=BOUNDS if metric.kind == "latency" else None, **arms)


def judged(metrics: list[Metric], looks: int) -> tuple[list[float], Evidence]:
    """Seconds of each look, and the evidence at the end."""
    rng = np.random.default_rng(7)
    rows = [[counts(metric, rng) for metric in metrics] for _ in range(120)]
    judge = Judge(
        metrics=metrics,
        policy=Policy(look=timedelta(seconds=10)),
        planned_looks=looks,
        history=summarise_history(rows, 10.0, metrics),
    )
    evidence, took = None, []
    for number in range(looks):
        request = EvaluateRequest(
            judge=judge,
            counts=[counts(metric, rng) for metric in metrics],
            share=WEIGHT,
            evidence=evidence,
            new_step=number == 0,
        )
        began = time.perf_counter()
        evaluation = evaluate(request)
        took.append(time.perf_counter() - began)
        evidence = Evidence.model_validate_json(evaluation.evidence.model_dump_json())
    assert evidence is not None
    return took, evidence


def size(evidence: Evidence) -> int:
    """Bytes of the state as JSON."""
    return len(json.dumps(evidence.model_dump(mode="json"), separators=(",", ":")))


def main() -> int:
    """Measure, print, write; 1 when a limit is missed."""
    pair = [Metric(name="errors", kind="ratio"), Metric(name="latency", kind="latency")]
    ten = [
        *(Metric(name=f"errors-{number}", kind="ratio") for number in range(5)),
        *(Metric(name=f"latency-{number}", kind="latency") for number in range(5)),
    ]
    apart = [metric.model_copy(update={"margin": 1.1 + 0.01 * place}) for place, metric in enumerate(ten)]
    _, small = judged(pair, WARM_UP + LOOKS)
    took, large = judged(ten, WARM_UP + LOOKS)
    unlike, _ = judged(apart, WARM_UP + LOOKS)
    timed, timed_apart = ([1_000 * seconds for seconds in one[WARM_UP:]] for one in (took, unlike))
    figures = {
        "metrics": len(ten),
        "looks": LOOKS,
        "load_average": round(os.getloadavg()[0], 2),
        "p50_ms": round(quantile(timed, 0.5), 3),
        "p95_ms": round(quantile(timed, 0.95), 3),
        "max_ms": round(max(timed), 3),
        "own_margins_p50_ms": round(quantile(timed_apart, 0.5), 3),
        "own_margins_p95_ms": round(quantile(timed_apart, 0.95), 3),
        "state_bytes_errors_latency": size(small),
        "state_bytes_each_further": round((size(large) - size(small)) / (len(ten) - len(pair))),
    }
    print(json.dumps(figures, indent=2))
    print(write("look_speed", figures))
    met = (
        figures["p95_ms"] <= LIMIT_MS
        and figures["state_bytes_errors_latency"] <= LIMIT_PAIR
        and figures["state_bytes_each_further"] <= LIMIT_FURTHER
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
