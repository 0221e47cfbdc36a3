"""What must hold whatever is counted: no exception, no NaN, and answers that do not depend on names, units or order."""

from __future__ import annotations

import json
import math
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.errors import InputError
from coalmine.records import ArmCounts, BurnCounts, Evaluation, Finding, MetricCounts
from coalmine.spec.metrics import Limits, Metric, Slo
from tests.analysis.looks import errors, fold, histogram, judge, latency, look, objective, ratio, silent

COUNTS = st.one_of(st.integers(0, 3), st.integers(0, 3000), st.sampled_from([10**6, 10**9, 10**12]))


@st.composite
def ratios(draw: Any) -> MetricCounts:
    n_c, n_b = draw(COUNTS), draw(COUNTS)
    share = st.sampled_from([0.0, 1e-6, 0.01, 0.5, 1.0])
    return ratio(math.ceil(n_c * draw(share)), n_c, math.ceil(n_b * draw(share)), n_b)


@st.composite
def histograms(draw: Any, bounds: list[float]) -> MetricCounts:
    buckets = st.lists(COUNTS, min_size=len(bounds) + 1, max_size=len(bounds) + 1)
    canary, baseline = draw(buckets), draw(buckets)
    return histogram(canary, baseline, bounds)


def unsound(value: Any) -> bool:
    """Not a number, or without end: pydantic writes these as words."""
    if isinstance(value, dict | list):
        return any(unsound(one) for one in (value.values() if isinstance(value, dict) else value))
    return value in ("NaN", "Infinity", "-Infinity") or (isinstance(value, float) and not math.isfinite(value))


def sound(found: Evaluation) -> None:
    """Every number is finite, every sentence is there, and the evidence may be passed on."""
    read = json.loads(found.model_dump_json())
    assert not unsound(read)
    assert Evaluation.model_validate(read) == found
    assert found.reason
    for verdict in found.verdicts:
        assert verdict.sentence.startswith(f"{verdict.metric}: ")
        if verdict.interval is not None:
            assert verdict.effect is not None
            assert 0 < verdict.interval[0] <= verdict.interval[1]


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_counts_give_a_verdict(data: st.DataObject) -> None:
    bounds = data.draw(st.sampled_from([[0.1], [0.1, 0.25, 1.0], []]))
    plan = judge(errors(), latency(objective=objective(0.25, 0.95)))
    evidence = None
    for _ in range(data.draw(st.integers(1, 3))):
        counts = [data.draw(st.one_of(ratios(), st.just(silent()))), data.draw(histograms(bounds))]
        found = look(plan, counts, evidence, share=data.draw(st.sampled_from([None, 0.01, 0.5])))
        sound(found)
        evidence = found.evidence


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_counts_give_a_verdict_in_the_bake(data: st.DataObject) -> None:
    plan = judge(
        errors(max=0.02), latency(objective=objective(0.25, 0.95)), latency().model_copy(update={"name": "more"})
    )
    evidence = None
    for _ in range(data.draw(st.integers(1, 3))):
        times = data.draw(histograms([0.1, 0.25]))
        counts = [data.draw(ratios()), times, times.model_copy(update={"metric": "more"})]
        found = look(plan, counts, evidence, stage="bake")
        sound(found)
        evidence = found.evidence


@pytest.mark.parametrize(
    ("counts", "finding"),
    [
        (ratio(0, 1, 0, 1), Finding.UNDECIDED),
        (ratio(1, 1, 0, 10**12), Finding.UNDECIDED),
        (ratio(10**12, 10**12, 10**12, 10**12), Finding.UNDECIDED),
        (ratio(10**12, 10**12, 0, 10**12), Finding.CRASH),
        (ratio(0, 10**12, 0, 10**12), Finding.UNDECIDED),
        (ratio(0, 10**12, 10**12, 10**12), Finding.UNDECIDED),
        (ratio(5 * 10**9, 10**12, 10**9, 10**12), Finding.UNDECIDED),
    ],
)
def test_the_extremes_at_the_first_look(counts: MetricCounts, finding: Finding) -> None:
    found = look(judge(), [counts])
    sound(found)
    assert found.finding is finding


BEYOND = 2**53 + 1


@pytest.mark.parametrize("stage", ["compare", "bake"])
@pytest.mark.parametrize(
    "canary",
    [
        ArmCounts(total=BEYOND, events=1),
        ArmCounts(total=9, events=10**400),
        ArmCounts(total=9, events=1, buckets=[1, 10**20]),
        ArmCounts(total=9, events=1, buckets=[2**53, 1]),
        ArmCounts(total=9, events=1, burn=[BurnCounts(seconds=300, total=2**63, events=1)]),
    ],
)
def test_counts_that_no_evidence_can_keep_are_refused(canary: ArmCounts, stage: Literal["compare", "bake"]) -> None:
    metrics = [errors(), latency(), Metric(name="good", kind="slo", slo=Slo(objective=0.99))]
    fine = ArmCounts(total=9, events=1, buckets=[1, 1])
    for metric in metrics:
        counts = MetricCounts(metric=metric.name, canary=canary, baseline=fine, bounds=[1.0])
        with pytest.raises(InputError, match=rf"^counts\.{metric.name}\.canary\..*: \d+\.{{,3}} is over 2\^53"):
            look(judge(*metrics), [counts], stage=stage)


@pytest.mark.parametrize("stage", ["compare", "bake"])
def test_numbers_beside_no_data_are_not_read(stage: Literal["compare", "bake"]) -> None:
    """A store that has doubts may say what it saw all the same."""
    doubtful = silent().model_copy(update={"canary": ArmCounts(total=BEYOND, events=BEYOND)})
    metric = errors(limits=Limits(max=0.1))
    assert look(judge(metric), [doubtful], stage=stage) == look(judge(metric), [silent()], stage=stage)


@pytest.mark.filterwarnings("error")
def test_a_thousand_looks_of_the_largest_counts_go_on_being_judged() -> None:
    """What is kept of them no longer grows, and turns into nothing else."""
    most = [ratio(2**52, 2**53, 2**52, 2**53)]
    before = look(judge(), most)
    for _ in range(1100):
        before = look(judge(), most, before.evidence)
    sound(before)
    assert before.finding is not Finding.CRASH
    assert before.canary_requests == 2**53


def test_one_look_never_proves_no_harm_of_a_new_service_but_two_may() -> None:
    clean = [ratio(0, 10**12, 0, 10**12)]
    first = look(judge(), clean)
    assert first.finding is Finding.UNDECIDED
    assert look(judge(), clean, first.evidence).finding is Finding.NO_HARM


def looks_of(seed: int, number: int = 5) -> list[list[MetricCounts]]:
    rng = np.random.default_rng(seed)
    rows: list[list[MetricCounts]] = []
    for _ in range(number):
        row = [int(value) for value in rng.binomial([300, 700], [0.06, 0.03])]
        canary, baseline = (rng.multinomial(n, [0.6, 0.25, 0.1, 0.05]).tolist() for n in (300, 700))
        rows.append([ratio(row[0], 300, row[1], 700), histogram(canary, baseline, [0.1, 0.2, 0.4])])
    return rows


def renamed(metric: Metric, name: str) -> Metric:
    return metric.model_copy(update={"name": name})


def numbers(found: Evaluation) -> dict[str, tuple[object, ...]]:
    return {
        one.metric: (one.verdict, one.effect, one.interval, one.log_e_harm, one.log_e_no_harm) for one in found.verdicts
    }


def test_the_order_of_metrics_changes_nothing() -> None:
    rows = looks_of(1)
    there = fold(judge(errors(), latency()), rows, share=0.3)[-1]
    back = fold(judge(latency(), errors()), [row[::-1] for row in rows], share=0.3)[-1]
    assert numbers(there) == numbers(back)
    assert (there.finding, there.log_e_harm, there.canary_requests) == (
        back.finding,
        back.log_e_harm,
        back.canary_requests,
    )


def test_the_unit_of_bounds_changes_nothing() -> None:
    rows = looks_of(2)
    other = [[row[1].model_copy(update={"bounds": [100.0, 200.0, 400.0]})] for row in rows]
    seconds = fold(judge(latency()), [row[1:] for row in rows])[-1]
    thousands = fold(judge(latency()), other)[-1]
    assert numbers(seconds) == numbers(thousands)


def test_looks_without_data_change_the_cash_alone() -> None:
    """Evidence for and against stays; only what is invested later has less time to earn."""
    rows = looks_of(3)
    plan = judge(errors(), latency())
    before = fold(plan, rows)[-1]
    after = fold(plan, [*rows, *[[silent(), silent("latency")]] * 3])[-1]
    assert after.finding is Finding.NO_DATA
    for one, other in zip(before.verdicts, after.verdicts, strict=True):
        assert other.effect == pytest.approx(one.effect, rel=0.01)
        assert other.log_e_harm == pytest.approx(one.log_e_harm, abs=0.05)
        assert other.log_e_no_harm == pytest.approx(one.log_e_no_harm, abs=0.05)
        assert other.canary_requests == one.canary_requests


@given(st.integers(0, 30), st.integers(0, 30))
@settings(max_examples=20, deadline=None)
def test_swapping_the_arms_turns_the_effect_round(x_c: int, x_b: int) -> None:
    there, back = (look(judge(), [ratio(a, 500, b, 500)]).verdicts[0] for a, b in ((x_c, x_b), (x_b, x_c)))
    if there.effect is None or back.effect is None:
        assert (there.effect, x_c + x_b) == (back.effect, 0)
    elif x_c and x_b:
        # The grid is not the same from both sides: a quarter of its step, where a single error is all there is.
        assert math.log(there.effect) == pytest.approx(-math.log(back.effect), abs=0.03 if min(x_c, x_b) > 1 else 0.08)
        assert there.interval is not None
        assert back.interval is not None
        inside = [end for end in (*there.interval, *back.interval) if 1 / 29 < end < 29]
        if len(inside) == 4:
            assert math.log(there.interval[0]) == pytest.approx(-math.log(back.interval[1]), abs=0.1)


def test_twins_are_judged_alike() -> None:
    rows = looks_of(4)
    plan = judge(errors(), renamed(errors(), "again"))
    found = fold(plan, [[one, one.model_copy(update={"metric": "again"})] for one, _ in rows])[-1]
    first, second = numbers(found).values()
    assert first == second
