"""What was kept beside written evidence is what reading it gives, whatever else was judged in between."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta

import numpy as np
import pytest

from coalmine.analysis import evaluate, recall
from coalmine.errors import InputError
from coalmine.records import ArmCounts, EvaluateRequest, Evaluation, Evidence, Judge, MetricCounts
from coalmine.spec.canary import Policy
from coalmine.spec.metrics import Metric

BOUNDS = [0.01, 0.1, 1.0]
METRICS = [Metric(name="errors", kind="ratio"), Metric(name="latency", kind="latency")]


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    recall._kept.clear()
    yield
    recall._kept.clear()


def judge(planned: int = 60) -> Judge:
    return Judge(metrics=METRICS, policy=Policy(look=timedelta(seconds=10)), planned_looks=planned)


def request(rng: np.random.Generator, evidence: Evidence | None, planned: int = 60) -> EvaluateRequest:
    counts = [
        MetricCounts(
            metric="errors",
            canary=ArmCounts(total=200, events=int(rng.binomial(200, 0.02))),
            baseline=ArmCounts(total=1800, events=int(rng.binomial(1800, 0.02))),
        ),
        MetricCounts(
            metric="latency",
            bounds=BOUNDS,
            canary=ArmCounts(total=200, buckets=rng.multinomial(200, [0.5, 0.4, 0.09, 0.01]).tolist()),
            baseline=ArmCounts(total=1800, buckets=rng.multinomial(1800, [0.5, 0.4, 0.09, 0.01]).tolist()),
        ),
    ]
    return EvaluateRequest(judge=judge(planned), counts=counts, share=0.1, evidence=evidence, new_step=evidence is None)


def passed_on(evaluation: Evaluation) -> Evidence:
    return Evidence.model_validate_json(evaluation.evidence.model_dump_json())


def test_a_look_says_the_same_whether_the_evidence_was_kept_or_is_read() -> None:
    rng, evidence = np.random.default_rng(3), None
    for _ in range(25):
        asked = request(rng, evidence)
        kept = evaluate(asked)
        recall._kept.clear()
        assert evaluate(asked) == kept
        evidence = passed_on(kept)


def test_two_rollouts_of_one_judge_are_told_apart() -> None:
    alone: list[Evidence | None] = []
    for seed in (1, 2):
        rng, evidence = np.random.default_rng(seed), None
        recall._kept.clear()
        for _ in range(5):
            evidence = passed_on(evaluate(request(rng, evidence)))
        alone.append(evidence)
    rngs = [np.random.default_rng(seed) for seed in (1, 2)]
    side_by_side: list[Evidence | None] = [None, None]
    recall._kept.clear()
    for _ in range(5):
        side_by_side = [passed_on(evaluate(request(rng, one))) for rng, one in zip(rngs, side_by_side, strict=True)]
    assert side_by_side == alone


def test_of_one_rollout_only_the_newest_look_is_kept() -> None:
    rng, evidence = np.random.default_rng(3), None
    for _ in range(5):
        evidence = passed_on(evaluate(request(rng, evidence)))
    [kept] = recall._kept
    assert evidence is not None
    assert kept.written == evidence.state


def test_no_more_is_kept_than_of_a_few_rollouts() -> None:
    for seed in range(recall._KEPT + 5):
        evaluate(request(np.random.default_rng(seed), None))
    assert len(recall._kept) == recall._KEPT


def test_a_look_that_is_tried_again_says_the_same() -> None:
    rng = np.random.default_rng(3)
    asked = request(rng, passed_on(evaluate(request(rng, None))))
    first = evaluate(asked)
    assert evaluate(asked) == first


def test_what_was_kept_is_not_changed_by_whoever_changes_the_evidence() -> None:
    rng = np.random.default_rng(3)
    first = evaluate(request(rng, None)).evidence
    as_written = deepcopy(first)
    first.state["split"]["tests"] += 1
    assert recall._kept[0].written == as_written.state


@pytest.mark.parametrize(
    "damage",
    [{"packed": "AAAA"}, {"packed": None}, {"packed": 5}, {"packed": [1, 2]}, {"bounds": "AAAAA"}, {"bounds": {}}],
)
def test_damaged_evidence_is_refused_though_the_whole_was_kept(damage: dict[str, object]) -> None:
    rng = np.random.default_rng(3)
    evidence = passed_on(evaluate(request(rng, None)))
    evidence.state.update(damage)
    with pytest.raises(InputError, match=r"evidence\.state"):
        evaluate(request(rng, evidence))


def test_evidence_of_another_judge_is_not_recalled() -> None:
    """The plan is longer: the same evidence, read by a judge that invests less at each look."""
    rng = np.random.default_rng(3)
    evidence = passed_on(evaluate(request(rng, None)))
    asked = request(rng, evidence, planned=600)
    kept = evaluate(asked)
    recall._kept.clear()
    assert evaluate(asked) == kept
