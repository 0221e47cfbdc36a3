"""Evidence on paper: small, faithful, and refused when damaged."""

from __future__ import annotations

import numpy as np
import pytest

from coalmine.analysis import summarise_history
from coalmine.analysis.comparison import Comparison
from coalmine.analysis.dispersion import Prior
from coalmine.analysis.metrics import RatioCounts
from coalmine.analysis.state import CAPITAL, CURVE, CUT_CURVE, Steps, decode, encode, settled
from coalmine.errors import InputError
from coalmine.records import Evidence, MetricCounts
from coalmine.spec.metrics import Metric
from tests.analysis.looks import (
    bare_size,
    draw_latency,
    draw_ratio,
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

BOTH = (errors(), latency(objective=objective(0.5, 0.999)))


def test_it_stays_below_four_kilobytes() -> None:
    rng = np.random.default_rng(1)
    noisy = [
        [
            draw_ratio(rng, 0.01 * rng.gamma(2, 0.5), 0.01 * rng.gamma(2, 0.5), 0.3),
            draw_latency(rng, rng.uniform(0.8, 1.3), 0.3),
        ]
        for _ in range(80)
    ]
    sizes = [bare_size(one.evidence) for one in fold(judge(*BOTH), noisy, share=0.3)]
    assert max(sizes) <= 4096
    wild = []
    for _ in range(80):
        n_c, n_b = (int(10 ** rng.uniform(0, 9)) for _ in range(2))
        buckets = [[int(10 ** rng.uniform(0, 8)) for _ in range(12)] for _ in range(2)]
        wild.append([ratio(int(n_c * rng.random()), n_c, int(n_b * rng.random()), n_b), histogram(*buckets)])
    sizes = [bare_size(one.evidence) for one in fold(judge(*BOTH), wild, share=0.3)]
    assert max(sizes) <= 4096


@pytest.mark.parametrize("number", [20, 40, 70])
@pytest.mark.parametrize("known", [True, False], ids=["history", "new"])
def test_it_stays_below_four_kilobytes_with_many_bounds_and_an_objective(number: int, known: bool) -> None:
    rng = np.random.default_rng(number)
    bounds = [round(float(bound), 5) for bound in np.geomspace(0.001, 10.0, number)]

    def row() -> list[MetricCounts]:
        noise = rng.gamma(4.0, 0.25, 2)
        n_c = int(rng.binomial(2000, 0.1))
        slow = [0.08 * np.exp(0.03 * rng.standard_normal() + 0.6 * rng.standard_normal(n)) for n in (n_c, 2000 - n_c)]
        buckets = [np.bincount(np.searchsorted(bounds, one), minlength=number + 1).tolist() for one in slow]
        return [draw_ratio(rng, 0.005 * noise[0], 0.005 * noise[1]), histogram(buckets[0], buckets[1], bounds)]

    metrics = errors(), latency(objective=objective(0.12, 0.75))
    past = summarise_history([row() for _ in range(70)], 10.0, list(metrics)) if known else None
    found = fold(judge(*metrics, history=past, planned=200), [row() for _ in range(80)], share=0.1)
    sizes = [bare_size(one.evidence) for one in found]
    assert max(sizes) <= 4096


@pytest.mark.parametrize("seed", range(4))
def test_it_stays_below_four_kilobytes_with_a_jvms_bounds_and_errors_that_jump(seed: int) -> None:
    rng, bounds = np.random.default_rng(seed), micrometer()

    def histogram_of(requests: int) -> list[int]:
        seconds = 0.08 * np.exp(0.8 * rng.standard_normal(requests))
        filled: list[int] = np.bincount(np.searchsorted(bounds, seconds), minlength=len(bounds) + 1).tolist()
        return filled

    rows = []
    for number in range(90):
        n_c, n_b = (int(rng.poisson(most)) for most in (200, 1800))
        rate = 0.2 if number // 7 % 2 else 0.001
        rows.append(
            [
                ratio(int(rng.binomial(n_c, rate)), n_c, int(rng.binomial(n_b, rate)), n_b),
                histogram(histogram_of(n_c), histogram_of(n_b), bounds),
            ]
        )
    metrics = errors(floor=0.02), latency(objective=objective(0.12, 0.75))
    sizes = [bare_size(one.evidence) for one in fold(judge(*metrics), rows, share=0.1)]
    assert max(sizes) <= 4096


@pytest.mark.parametrize("digits", [4, 17])
def test_each_further_latency_adds_at_most_two_and_a_half(digits: int) -> None:
    """With an objective each, in bursts: requests, errors and times of either arm jump about."""
    bounds = [float(f"{bound:.{digits}g}") for bound in np.geomspace(0.001, 30.0, 40)]
    metrics = (
        errors(floor=0.02),
        *(
            Metric(name=name, kind="latency", objective=objective(0.1 - 0.02 * at, 0.9), floor=0.05 * at)
            for at, name in enumerate(("latency", "searches", "uploads"))
        ),
    )
    rng = np.random.default_rng(40)
    edges = np.log([*bounds, 60.0])

    def arm(most: float) -> tuple[int, list[list[int]]]:
        requests = rng.poisson(most * rng.gamma(0.3, 3.0), len(metrics))
        shares = [np.exp(-0.5 * ((edges - np.log(rng.choice([0.08, 0.1]))) / 0.8) ** 2) + 1e-12 for _ in metrics]
        return int(requests[0]), [
            rng.multinomial(n, share / share.sum()).tolist() for n, share in zip(requests[1:], shares[1:], strict=True)
        ]

    evidence, sizes = None, []
    for number in range(90):
        (n_c, slow_c), (n_b, slow_b) = arm(200.0), arm(rng.choice([200.0, 1800.0]))
        rate = rng.choice([0.001, 0.02, 0.2])
        counts = [
            ratio(
                *(int(rng.binomial(n_c, min(rate * rng.gamma(0.5, 2.0), 1.0))), n_c), int(rng.binomial(n_b, rate)), n_b
            )
        ]
        counts += [
            histogram(canary, baseline, bounds).model_copy(update={"metric": metric.name})
            for metric, canary, baseline in zip(metrics[1:], slow_c, slow_b, strict=True)
        ]
        evidence = look(judge(*metrics), counts, evidence, share=0.1 if number % 20 else None).evidence
        sizes.append(bare_size(evidence))
    assert max(sizes) <= 4096 + 2 * 2560


def test_a_plan_of_five_thousand_looks_does_not_make_it_grow() -> None:
    judge_ = judge(errors(), planned=5000)
    evidence = None
    rng = np.random.default_rng(2)
    sizes = []
    for number in range(600):
        evidence = look(judge_, [draw_ratio(rng, 0.01, 0.01)], evidence).evidence
        if number in (99, 599):
            sizes.append(bare_size(evidence))
    assert sizes[1] < sizes[0] + 100


def test_the_future_is_the_same_through_json() -> None:
    rng = np.random.default_rng(3)
    judge_ = judge(*BOTH)
    evidence = fold(judge_, [[draw_ratio(rng, 0.01, 0.008), draw_latency(rng, 1.05)] for _ in range(6)])[-1].evidence
    through = Evidence.model_validate_json(evidence.model_dump_json())
    counts = [draw_ratio(rng, 0.01, 0.008), draw_latency(rng, 1.05)]
    assert look(judge_, counts, evidence) == look(judge_, counts, through)


def test_writing_down_costs_hardly_any_evidence_over_many_small_looks() -> None:
    """Each look says less than a step: without the walking offset all of it would be lost."""
    core = Comparison(judge(errors(margin=1.0, floor=0.0), planned=600))
    kept = written = core.start(1, {})
    rng = np.random.default_rng(4)
    for number in range(1, 601):
        counts = [
            RatioCounts(
                np.array([20]), rng.binomial(20, 0.02, 1), np.array([180]), rng.binomial(180, 0.01, 1), np.ones(1, bool)
            )
        ]
        kept, written = core.update(kept, counts), core.update(written, counts)
        written = decode(written, encode(written, number))
    exact, coarse = (float(core.weigh(state).metrics["errors"].harm[0]) for state in (kept, written))
    assert coarse == pytest.approx(exact, abs=0.25)


@pytest.mark.parametrize("chosen", [CAPITAL, CUT_CURVE])
def test_steps_round_trip(chosen: Steps) -> None:
    values = np.array([-np.inf, -1e9, -29.0, -0.5, 0.0])
    read = chosen.read(chosen.write(values, 0.5))
    assert read[2:] == pytest.approx(values[2:], abs=1 / chosen.per_nat)
    assert (read[:2] == chosen.below).all()


def test_roots_round_trip() -> None:
    values = np.array([-np.inf, -1e12, -9e5, -5000.0, -29.0, -0.5, 0.0])
    for offset in (0.0, 0.5, 0.99):
        read = CURVE.read(CURVE.write(values, offset))
        assert np.sqrt(-read[2:]) == pytest.approx(np.sqrt(-values[2:]), abs=1 / CURVE.per_root)
        assert read[-1] == 0.0
        assert (read[:2] < -1e6).all()


@pytest.mark.parametrize("requests", [1_000, 100_000, 10_000_000])
def test_written_down_at_each_look_the_interval_holds_the_truth_of_a_busy_service(requests: int) -> None:
    core = Comparison(judge(errors(margin=1.0)), {"errors": Prior(np.zeros((1, 1)), np.ones(1, bool))})
    state = core.start(1, {})
    canary, on = np.array([requests]), np.ones(1, bool)
    for number in range(1, 61):
        state = core.update(state, [RatioCounts(canary, canary // 20, canary, canary // 20, on)])
        state = settled(state, number)
        low, high = state.metrics[0].shares.bounds(np.ones((1, 1)), 0.01)
        assert low[0, 0] < 1.0 < high[0, 0]


def test_damaged_evidence_is_refused() -> None:
    evidence = look(judge(), [ratio(1, 10, 1, 90)]).evidence
    for field, value in (
        ("packed", "not base64!"),
        ("packed", "AAAA"),
        ("packed", None),
        ("packed", evidence.state["packed"][:-8]),
        ("version", 99),
    ):
        broken = evidence.model_copy(update={"state": evidence.state | {field: value}})
        with pytest.raises(InputError, match="evidence"):
            look(judge(), [ratio(1, 10, 1, 90)], broken)
