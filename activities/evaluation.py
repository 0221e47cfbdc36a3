"""The activity that judges one look: counts in, evidence and finding out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache

from temporalio import activity

from activities.failures import translate_errors
from coalmine.records import EVALUATE, ArmCounts, EvaluateRequest, Evaluation, Judge, MetricCounts
from coalmine.spec.canary import Policy
from coalmine.spec.metrics import Metric

JudgeLook = Callable[[EvaluateRequest], Evaluation]


@cache
def numerics() -> JudgeLook:
    """The judge, imported and run once: the imports and first calls of numpy and scipy take a second.

    A worker that has just started serves rollbacks in that second, so nothing imports the judge before it serves.
    """
    from coalmine.analysis import evaluate as judge_look

    metrics = [Metric(name="errors", kind="ratio"), Metric(name="latency", kind="latency")]
    judge = Judge(metrics=metrics, policy=Policy(), planned_looks=1)
    arms = {"baseline": ArmCounts(total=4, events=1), "canary": ArmCounts(total=4, events=1)}
    buckets = {name: ArmCounts(total=4, buckets=[3, 1]) for name in arms}
    counts = [MetricCounts(metric="errors", **arms), MetricCounts(metric="latency", bounds=[0.1], **buckets)]
    first = judge_look(EvaluateRequest(judge=judge, counts=counts, share=0.5))
    judge_look(EvaluateRequest(judge=judge, counts=counts, share=0.5, evidence=first.evidence))
    return judge_look


@activity.defn(name=EVALUATE.name)
async def evaluate(request: EvaluateRequest) -> Evaluation:
    """Fold one look into the evidence. Pure: a retry with the same input gives the same output, byte for byte.

    It computes for a few milliseconds and waits for nothing, so it runs on the loop: a thread would cost more.

    Raises:
        ApplicationError: counts or evidence that cannot be (``InputError``, not retryable).
    """
    judge_look = numerics() if numerics.cache_info().currsize else await asyncio.to_thread(numerics)
    with translate_errors():
        return judge_look(request)
