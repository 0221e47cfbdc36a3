"""Looks for tests: a judge, seeded counts of both arms, and the fold over them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Literal

import numpy as np

from coalmine.analysis import evaluate, summarise_history
from coalmine.analysis.comparison import Comparison
from coalmine.analysis.packed_bounds import unpack_bounds
from coalmine.analysis.packing import unpack
from coalmine.analysis.recall import Whole
from coalmine.analysis.sample_ratio import SampleRatio
from coalmine.records import ArmCounts, EvaluateRequest, Evaluation, Evidence, Judge, MetricCounts, ServiceHistory
from coalmine.spec.canary import Policy
from coalmine.spec.metrics import Metric, Objective

BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
TENTHS = timedelta(seconds=10)


def errors(**options: Any) -> Metric:
    return Metric(name="errors", kind="ratio", **options)


def latency(**options: Any) -> Metric:
    return Metric(name="latency", kind="latency", **options)


def objective(seconds: float, share: float) -> Objective:
    return Objective(under=timedelta(seconds=seconds), share=share)


def judge(*metrics: Metric, history: ServiceHistory | None = None, planned: int = 60, **policy: Any) -> Judge:
    return Judge(
        metrics=list(metrics) or [errors()],
        policy=Policy(**({"look": TENTHS} | policy)),
        planned_looks=planned,
        history=history,
    )


def ratio(x_c: int, n_c: int, x_b: int, n_b: int, name: str = "errors") -> MetricCounts:
    return MetricCounts(metric=name, canary=ArmCounts(total=n_c, events=x_c), baseline=ArmCounts(total=n_b, events=x_b))


def histogram(canary: Sequence[int], baseline: Sequence[int], bounds: Sequence[float] = BOUNDS) -> MetricCounts:
    return MetricCounts(
        metric="latency",
        bounds=list(bounds),
        canary=ArmCounts(total=sum(canary), buckets=list(canary)),
        baseline=ArmCounts(total=sum(baseline), buckets=list(baseline)),
    )


def silent(name: str = "errors", reason: str = "stale: no sample for 2m") -> MetricCounts:
    return MetricCounts(metric=name, status="no_data", reason=reason)


def draw_ratio(
    rng: np.random.Generator, canary: float, baseline: float, weight: float = 0.1, requests: int = 2000
) -> MetricCounts:
    n_c = int(rng.binomial(requests, weight))
    n_b = requests - n_c
    return ratio(int(rng.binomial(n_c, canary)), n_c, int(rng.binomial(n_b, baseline)), n_b)


def draw_latency(
    rng: np.random.Generator, slower: float = 1.0, weight: float = 0.1, requests: int = 2000
) -> MetricCounts:
    n_c = int(rng.binomial(requests, weight))
    arms = []
    for number, factor in ((n_c, slower), (requests - n_c, 1.0)):
        seconds = 0.08 * factor * np.exp(0.6 * rng.standard_normal(number))
        arms.append([int(v) for v in np.bincount(np.searchsorted(BOUNDS, seconds), minlength=len(BOUNDS) + 1)])
    return histogram(*arms)


def look(
    judge: Judge,
    counts: Iterable[MetricCounts],
    evidence: Evidence | None = None,
    *,
    stage: Literal["compare", "bake"] = "compare",
    **options: Any,
) -> Evaluation:
    """One look, with the evidence taken through JSON as Temporal does."""
    if evidence is not None:
        evidence = Evidence.model_validate_json(evidence.model_dump_json())
    request = EvaluateRequest(judge=judge, counts=list(counts), evidence=evidence, stage=stage, **options)
    return evaluate(request)


def fold(judge: Judge, looks: Iterable[Sequence[MetricCounts]], **options: Any) -> list[Evaluation]:
    """All looks, one after the other."""
    evaluations: list[Evaluation] = []
    for counts in looks:
        evidence = evaluations[-1].evidence if evaluations else None
        evaluations.append(look(judge, counts, evidence, **options))
    return evaluations


def micrometer() -> tuple[float, ...]:
    """The 68 buckets of a timer from 1 ms to 30 s as JVMs have them by default: thirds of the powers of four, in ns."""
    found = [1_000_000, 30_000_000_000]
    for power in range(20, 36, 2):
        third = (1 << power) // 3
        found += range(1 << power, (1 << (power + 2)) - third, third)
    return tuple(sorted(whole / 1e9 for whole in found if whole <= 30_000_000_000))


def bare_size(evidence: Evidence) -> int:
    return len(json.dumps(evidence.model_dump(mode="json"), separators=(",", ":")))


def history(*metrics: Metric, looks: int = 120, seed: int = 99, rate: float = 0.005) -> ServiceHistory:
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(looks):
        row = [draw_ratio(rng, rate, rate)]
        if any(metric.kind == "latency" for metric in metrics):
            row.append(draw_latency(rng))
        rows.append(row)
    return summarise_history(rows, 10.0, list(metrics) or [errors()])


def counted(judge: Judge, evidence: Evidence) -> list[int]:
    """The whole numbers of evidence."""
    fresh = Whole(Comparison(judge).start(1, unpack_bounds(evidence.state["bounds"])), SampleRatio.start())
    counts: list[int] = unpack(evidence.state["packed"], fresh).counts.tolist()
    return counts
