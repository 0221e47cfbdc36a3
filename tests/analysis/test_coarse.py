"""Histograms of very many bounds: judged on fewer, the same everywhere, and what cannot be read left as it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.analysis import judge as judge_module
from coalmine.analysis.coarse import MOST_BOUNDS, coarsened, judged_bounds
from coalmine.analysis.packed_bounds import unpack_bounds
from coalmine.errors import InputError
from coalmine.records import ArmCounts, MetricCounts
from coalmine.spec.metrics import Metric
from tests.analysis.looks import (
    BOUNDS,
    bare_size,
    errors,
    fold,
    histogram,
    judge,
    latency,
    look,
    micrometer,
    objective,
    ratio,
)

FINE = tuple(0.001 * 1.07**number for number in range(160))
GRIDS = {
    "factor": FINE,
    "nanoseconds": tuple(round(bound, 9) for bound in FINE),
    "irrational": tuple(sorted(np.random.default_rng(5).uniform(0.001, 30.0, 160).tolist())),
    "a thousand": tuple(np.geomspace(1e-4, 100.0, 1_000).tolist()),
}


@pytest.mark.parametrize("bounds", [tuple(BOUNDS), micrometer(), (0.1,), tuple(0.001 * 2**n for n in range(20))])
def test_the_grids_most_services_have_are_kept(bounds: tuple[float, ...]) -> None:
    assert judged_bounds(bounds, latency()) == bounds
    one = histogram([1] * (len(bounds) + 1), [2] * (len(bounds) + 1), bounds)
    assert coarsened([one], [latency()])[0] is one


@pytest.mark.parametrize("bounds", GRIDS.values(), ids=GRIDS)
def test_of_finer_ones_some_are_evenly_chosen(bounds: tuple[float, ...]) -> None:
    kept = judged_bounds(bounds, latency(objective=objective(0.3, 0.99)))
    assert 15 < len(kept) <= MOST_BOUNDS
    assert set(kept) <= set(bounds)
    assert (kept[0], kept[-1]) == (bounds[0], bounds[-1])
    assert max(bound for bound in bounds if bound <= 0.3) in kept
    apart = np.diff([bounds.index(bound) for bound in kept])
    # But for the ones that are always kept.
    assert np.count_nonzero(apart != np.bincount(apart).argmax()) <= 3


@given(st.lists(st.integers(0, 1_000), min_size=161, max_size=161))
def test_no_request_is_lost(buckets: list[int]) -> None:
    given_counts = histogram(buckets, buckets[::-1], FINE)
    metric = latency(objective=objective(0.3, 0.99))
    (found,) = coarsened([given_counts], [metric])
    kept = judged_bounds(FINE, metric)
    assert found.bounds == [*kept]
    for arm, before in ((found.canary, buckets), (found.baseline, buckets[::-1])):
        assert arm is not None
        assert arm.buckets is not None
        assert arm.total == sum(before)
        below = [sum(before[: FINE.index(bound) + 1]) for bound in kept]
        assert np.cumsum(arm.buckets).tolist() == [*below, sum(before)]


def test_a_missing_arm_stays_missing() -> None:
    one = histogram([1] * 161, [1] * 161, FINE).model_copy(update={"baseline": None})
    (found,) = coarsened([one], [latency()])
    assert found.baseline is None
    assert found.canary is not None
    assert len(found.canary.buckets or ()) == len(found.bounds or ()) + 1 < 161


@pytest.mark.parametrize(
    ("bounds", "canary"),
    [
        ([*FINE[:80], FINE[79], *FINE[80:]], [1] * 162),
        ([*FINE[::-1]], [1] * 161),
        ([*FINE], [1] * 160),
        ([*FINE], [1] * 160 + [-1]),
        ([*FINE, float("inf")], [1] * 162),
    ],
    ids=["twice", "falling", "a bucket too few", "negative", "infinite"],
)
def test_what_cannot_be_read_is_left_for_who_reads_it(bounds: Sequence[float], canary: list[int]) -> None:
    one = histogram(canary, [1] * (len(bounds) + 1), bounds)
    assert coarsened([one], [latency()])[0] is one
    if bounds[-1] != float("inf"):
        with pytest.raises(InputError, match=r"^counts\.latency\."):
            look(judge(latency()), [one])


def test_other_metrics_are_not_touched() -> None:
    unknown = MetricCounts(metric="other", bounds=[*FINE], canary=ArmCounts(total=1, buckets=[1] * 161))
    found = coarsened([ratio(1, 10, 1, 90), unknown], [errors(), latency()])
    assert found == [ratio(1, 10, 1, 90), unknown]


def rows(metrics: Sequence[Metric], bounds: Sequence[float], seed: int, looks: int) -> list[list[MetricCounts]]:
    """A busy service whose errors jump."""
    rng = np.random.default_rng(seed)
    edges = np.log([*bounds, 2 * bounds[-1]])

    def arm(requests: int) -> list[int]:
        shares = np.exp(-0.5 * ((edges - np.log(0.08) - 0.1 * rng.standard_normal()) / 0.9) ** 2) + 1e-9
        filled: list[int] = rng.multinomial(requests, shares / shares.sum()).tolist()
        return filled

    found = []
    for number in range(looks):
        n_c, n_b = (int(rng.poisson(most)) for most in (2e4 * rng.gamma(2.0, 0.5), 1.8e5))
        rate = 0.2 if number // 5 % 2 else 0.001
        row = [ratio(int(rng.binomial(n_c, rate)), n_c, int(rng.binomial(n_b, rate)), n_b)]
        for metric in metrics[1:]:
            row.append(histogram(arm(n_c), arm(n_b), bounds).model_copy(update={"metric": metric.name}))
        found.append(row)
    return found


@pytest.mark.parametrize("bounds", GRIDS.values(), ids=GRIDS)
def test_evidence_stays_within_its_limits(bounds: tuple[float, ...]) -> None:
    metrics = [
        errors(),
        *(Metric(name=name, kind="latency", objective=objective(0.12, 0.9)) for name in ("latency", "searches")),
    ]
    for number, limit in ((2, 4_096), (3, 4_096 + 2_560)):
        found = fold(judge(*metrics[:number]), rows(metrics[:number], bounds, 3, 40), share=0.1)
        assert max(bare_size(one.evidence) for one in found) <= limit


def test_evidence_on_all_bounds_is_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an earlier worker wrote it: merged to those that are judged now, and nothing is missing."""
    metrics = [errors(), latency()]
    looks = rows(metrics, FINE, 7, 12)
    with monkeypatch.context() as patched:
        patched.setattr(judge_module, "coarsened", lambda counts, metrics: list(counts))
        before = fold(judge(*metrics), looks[:6], share=0.1)[-1].evidence
    assert unpack_bounds(before.state["bounds"])["latency"] == FINE
    evidence = before
    for counts in looks[6:]:
        found = look(judge(*metrics), counts, evidence, share=0.1)
        evidence = found.evidence
        assert [verdict.verdict for verdict in found.verdicts if verdict.verdict == "no_data"] == []
    assert unpack_bounds(evidence.state["bounds"])["latency"] == judged_bounds(FINE, metrics[1])
