"""Gauges: the bounds against their published formulae, the verdicts against simulation."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, stats

from coalmine.analysis import asymptotic, summarise_history
from coalmine.analysis.channels import Pace
from coalmine.analysis.comparison import Comparison
from coalmine.analysis.value import ValueMeans, ValueMetric
from coalmine.errors import InputError
from coalmine.records import ArmCounts, Evaluation, Finding, MetricCounts
from coalmine.spec.metrics import Metric
from tests.analysis.looks import bare_size, errors, fold, judge, look, ratio, silent

Floats = NDArray[Any]
NEVER = 10**6
PACE = Pace(weight=0.1, cap=9.0, block=1)


def cpu(**options: Any) -> Metric:
    return Metric(name="cpu", kind="value", **options)


def gauges(canary: list[float], baseline: list[float], name: str = "cpu") -> MetricCounts:
    return MetricCounts(metric=name, canary=ArmCounts(values=canary), baseline=ArmCounts(values=baseline))


def minutes(
    rows: list[tuple[list[float], list[float]]], metric: Metric | None = None, **policy: Any
) -> list[Evaluation]:
    """Looks of a minute each."""
    judge_ = judge(metric or cpu(), look=timedelta(minutes=1), no_history="roll_back", **policy)
    return fold(judge_, [[gauges(*row)] for row in rows])


def first_looks(canary: Floats, baseline: Floats, **options: Any) -> tuple[Floats, Floats]:
    """First block of harm and of no harm for every run [S, T] (a million: never)."""
    metric = ValueMetric(**{"margin": 1.0, "no_harm": 1.5, "tolerance": 0.0, **options})
    runs = canary.shape[0]
    state, present = metric.start(runs), np.ones(runs, bool)
    harm, proof = np.full(runs, NEVER), np.full(runs, NEVER)
    for block in range(canary.shape[1]):
        state = metric.update(state, ValueMeans(canary[:, block], baseline[:, block], present), PACE)
        weighed = metric.weigh(state)
        harm = np.where((harm == NEVER) & (weighed.harm >= math.log(100)), block + 1, harm)
        proof = np.where((proof == NEVER) & (weighed.no_harm >= math.log(20)), block + 1, proof)
    return harm, proof


def noise(kind: str, rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    if kind == "normal":
        return rng.standard_normal(shape)
    if kind == "heavy":
        return rng.standard_t(3, shape)
    if kind == "spikes":
        return (rng.random(shape) < 0.05) * 20.0
    drawn = rng.standard_normal(shape)
    for block in range(1, shape[1]):
        drawn[:, block] = 0.5 * drawn[:, block - 1] + math.sqrt(0.75) * drawn[:, block]
    return drawn


# --------------------------------------------------------------------------------------------------- formulae


@pytest.mark.parametrize("freedom", [3.0, 9.0, 40.0])
def test_normal_scores_have_the_tail_of_the_t_distribution(freedom: float) -> None:
    for t in (-6.0, -1.0, 0.0, 0.5, 2.0, 5.0):
        score = float(asymptotic.normal_score(np.array(t), np.array(freedom)))
        assert stats.norm.sf(score) == pytest.approx(stats.t.sf(t, freedom), rel=0.12, abs=1e-12)
        assert float(asymptotic.student(np.array(score), np.array(freedom))) == pytest.approx(t, abs=1e-9)


@pytest.mark.parametrize(("total", "blocks"), [(-3.0, 10), (0.0, 12), (9.0, 12), (40.0, 100)])
def test_the_evidence_is_the_half_normal_mixture_of_likelihood_ratios(total: float, blocks: int) -> None:
    spread = math.sqrt(asymptotic.SPREAD)
    mixed, _ = integrate.quad(
        lambda mean: 2 * stats.norm.pdf(mean, scale=spread) * math.exp(mean * total - blocks * mean**2 / 2), 0, 12
    )
    evidence = asymptotic.log_evidence(np.array(total / math.sqrt(blocks)), np.array(float(blocks)))
    assert float(evidence) == pytest.approx(math.log(mixed), abs=1e-6)


def test_the_interval_is_the_published_one() -> None:
    """Waudby-Smith et al., theorem 2.2: sigma sqrt(2 (t r + 1) / (t^2 r) ln(sqrt(t r + 1) / alpha)), r = rho^2."""
    for t in (10.0, 50.0, 1000.0):
        r = asymptotic.SPREAD
        published = math.sqrt(2 * (t * r + 1) / (t**2 * r) * math.log(math.sqrt(t * r + 1) / 0.05))
        assert float(asymptotic.widest_score(np.array(t), 0.05)) / math.sqrt(t) == pytest.approx(published)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.7])
def test_the_long_run_variance_is_found(rho: float) -> None:
    rng = np.random.default_rng(5)
    x = np.zeros(20_000)
    for at in range(1, x.size):
        x[at] = rho * x[at - 1] + rng.standard_normal()
    centred = x - x.mean()
    n = np.array(float(x.size))
    found, freedom = asymptotic.long_run(
        np.array((centred**2).sum()), np.array((centred[1:] * centred[:-1]).sum()), n, np.array(1.0)
    )
    assert float(found) == pytest.approx(1.0 / (1.0 - rho) ** 2, rel=0.1)
    assert float(freedom) == pytest.approx(x.size * (1 - rho) / (1 + rho), rel=0.05)


def test_running_sums_are_what_all_blocks_together_say() -> None:
    rng = np.random.default_rng(11)
    canary, baseline = 50 + rng.standard_normal(37), 48 + rng.standard_normal(37)
    metric = ValueMetric(1.0, 1.5, 0.0)
    state = metric.start(1)
    for c, b in zip(canary, baseline, strict=True):
        state = metric.update(state, ValueMeans(np.array([c]), np.array([b]), np.ones(1, bool)), PACE)
    difference = canary - baseline
    centred = difference - difference.mean()
    lagged = (centred[1:] * centred[:-1]).sum()
    variance, freedom = asymptotic.long_run(
        np.array((centred**2).sum()), np.array(lagged), np.array(37.0), np.array(1.0)
    )
    t = asymptotic.student(asymptotic.widest_score(np.array(37.0), 0.01), freedom)
    reading = metric.read(["cpu"], state, metric.weigh(state), 0.01)[0]
    assert reading.effect == pytest.approx(difference.mean(), rel=1e-5)
    assert reading.interval is not None
    assert reading.interval[1] - reading.interval[0] == pytest.approx(2 * t * math.sqrt(variance / 37), rel=1e-4)
    assert reading.canary == pytest.approx(canary.mean(), rel=1e-5)
    assert reading.baseline == pytest.approx(baseline.mean(), rel=1e-5)


# ----------------------------------------------------------------------------------------------- the error rates


@pytest.mark.parametrize(
    ("kind", "most"), [("normal", 0.01), ("heavy", 0.01), ("spikes", 0.01), ("autocorrelated", 0.035)]
)
def test_releases_without_fault_are_left_alone(kind: str, most: float) -> None:
    """At the edge of the null (no margin at all), looked at after every one of 120 blocks."""
    rng = np.random.default_rng(21)
    shared = 10 + 3 * np.sin(np.arange(120) / 10) + rng.standard_normal((800, 1))
    harm, _ = first_looks(shared + noise(kind, rng, (800, 120)), shared + noise(kind, rng, (800, 120)))
    assert (harm < NEVER).mean() <= most + 2.6 * math.sqrt(most / 800)


def test_a_level_that_is_harm_is_seldom_proven_harmless() -> None:
    rng = np.random.default_rng(22)
    baseline = 10 + rng.standard_normal((800, 120))
    _, proof = first_looks(15 + rng.standard_normal((800, 120)), baseline)
    assert (proof < NEVER).mean() <= 0.05


def test_faults_are_found_soon_also_when_they_begin_late() -> None:
    rng = np.random.default_rng(23)
    canary, baseline = (10 + rng.standard_normal((200, 120)) for _ in range(2))
    harm, _ = first_looks(canary + 2, baseline)
    assert np.median(harm) <= 18
    harm, _ = first_looks(canary + 2 * (np.arange(120) >= 60), baseline)
    assert np.median(harm[harm > 60]) <= 80
    assert (harm < NEVER).mean() >= 0.95


def test_the_interval_covers_at_every_look_together() -> None:
    rng = np.random.default_rng(24)
    metric = ValueMetric(1.0, 1.5, 0.0)
    state, missed = metric.start(800), np.zeros(800, bool)
    for block in range(100):
        baseline = 20 + rng.standard_normal(800)
        state = metric.update(
            state, ValueMeans(baseline + 1 + rng.standard_normal(800), baseline, np.ones(800, bool)), PACE
        )
        if block >= 9:
            unit = 2.0**state.exponent
            half = metric._half_width(state, metric.weigh(state), 0.05)
            missed |= np.abs(unit * state.means[:, 0, 1] - 1.0) > unit * half
    assert missed.mean() <= 0.05


# -------------------------------------------------------------------------------------------------- the verdicts


def test_more_cpu_rolls_back_and_says_how_much() -> None:
    rng = np.random.default_rng(1)
    rows = [(list(0.8 + 0.02 * rng.standard_normal(3)), list(0.5 + 0.02 * rng.standard_normal(9))) for _ in range(20)]
    found = minutes(rows, cpu(suffix="cores"))
    assert all(one.finding is not Finding.HARM for one in found[:9])
    last = found[-1]
    verdict = last.verdicts[0]
    assert last.finding is Finding.HARM
    assert verdict.verdict == "fail"
    assert verdict.measure == "difference"
    assert verdict.interval is not None
    assert verdict.effect == pytest.approx(0.3, abs=0.02)
    assert verdict.interval[0] < 0.3 < verdict.interval[1]
    assert verdict.margin == pytest.approx(0.1, abs=0.01)
    assert "cpu: canary 0.7939 cores against 0.4994 cores (+0.2945 cores, between" in verdict.sentence
    assert "after 20 min" in verdict.sentence


def test_the_same_memory_is_promoted_after_ten_minutes() -> None:
    rng = np.random.default_rng(2)
    rows = [(list(2e9 + 1e7 * rng.standard_normal(2)), list(2e9 + 1e7 * rng.standard_normal(4))) for _ in range(11)]
    found = minutes(rows)
    assert [one.finding for one in found[:9]] == [Finding.UNDECIDED] * 9
    assert "4 min, 10 min are needed" in found[3].verdicts[0].sentence
    assert found[-1].finding is Finding.NO_HARM


def test_without_history_a_small_difference_asks_a_human() -> None:
    rng = np.random.default_rng(3)
    judge_ = judge(cpu(margin=1.05), look=timedelta(minutes=1))
    rows = [[gauges([13 + rng.standard_normal()], [10 + rng.standard_normal()])] for _ in range(40)]
    assert fold(judge_, rows)[-1].finding is Finding.HARM_UNSURE


def test_fewer_orders_are_harm_where_down_is_worse() -> None:
    rng = np.random.default_rng(4)
    rows = [([60 + rng.standard_normal()], [100 + rng.standard_normal()]) for _ in range(14)]
    last = minutes(rows, cpu(direction="down"))[-1]
    assert last.finding is Finding.HARM
    verdict = last.verdicts[0]
    assert verdict.worse == "down"
    assert verdict.effect == pytest.approx(-40, abs=1)
    assert verdict.margin == pytest.approx(-20, abs=1)
    assert verdict.interval is not None
    assert verdict.interval[0] < -40 < verdict.interval[1]
    assert minutes(rows)[-1].finding is Finding.NO_HARM


def test_the_tolerance_is_a_difference_in_the_metrics_own_unit() -> None:
    rng = np.random.default_rng(6)
    rows = [([3 + 0.1 * rng.standard_normal()], [1 + 0.1 * rng.standard_normal()]) for _ in range(15)]
    assert minutes(rows)[-1].finding is Finding.HARM
    assert minutes(rows, cpu(tolerance=5.0))[-1].finding is Finding.NO_HARM


def test_a_tolerance_beyond_all_numbers_allows_everything() -> None:
    """In units of a level as small as this one it is more than a double holds; no warning is given either."""
    rows = [([3e-95], [1e-95])] * 10
    assert minutes(rows, cpu(tolerance=1e300))[-1].finding is Finding.NO_HARM


def test_blocks_are_minutes_whatever_the_look() -> None:
    """Six looks of ten seconds are one block."""
    rng = np.random.default_rng(7)
    judge_ = judge(cpu(), no_history="roll_back")
    rows = [[gauges([2.0 + 0.1 * rng.standard_normal()], [1 + 0.1 * rng.standard_normal()])] for _ in range(60)]
    found = fold(judge_, rows)
    assert all(one.finding is Finding.UNDECIDED for one in found[:59])
    assert found[59].finding is Finding.HARM


def test_before_the_first_minute_is_full_the_sentence_has_the_mean_of_what_came() -> None:
    rows = [[gauges([canary], [baseline])] for canary, baseline in ((3.0, 1.0), (5.0, 2.0), (4.0, 3.0))]
    verdict = fold(judge(cpu(), no_history="roll_back"), rows)[-1].verdicts[0]
    assert verdict.effect == pytest.approx(2.0)
    assert verdict.sentence.startswith("cpu: canary 4 against 2 (+2; allowed +0.4) after 0 min, 10 min are needed")


def test_beside_errors_it_has_a_third_of_their_weight() -> None:
    weights = Comparison(judge(errors(), cpu(), Metric(name="memory", kind="value"))).harm_weights
    assert weights["cpu"] == weights["memory"]
    assert weights["cpu"] + weights["memory"] == pytest.approx(weights["errors"] / 2)


# ------------------------------------------------------------------------------------------------- properties

levels = st.floats(0.1, 100.0)
rows_of = st.lists(st.tuples(levels, levels), min_size=11, max_size=24)


@settings(max_examples=8, deadline=None)
@given(rows_of)
def test_swapping_the_arms_flips_the_sign(rows: list[tuple[float, float]]) -> None:
    there = minutes([([c], [b]) for c, b in rows])[-1].verdicts[0]
    back = minutes([([b], [c]) for c, b in rows])[-1].verdicts[0]
    assert there.interval is not None
    assert back.interval is not None
    scale = max(max(row) for row in rows)
    assert there.effect == pytest.approx(-(back.effect or 0), abs=1e-4 * scale)
    assert there.interval[0] == pytest.approx(-back.interval[1], rel=1e-3, abs=1e-4 * scale)


@settings(max_examples=8, deadline=None)
@given(rows_of, st.integers(-100, 100))
def test_scaling_units_changes_nothing(rows: list[tuple[float, float]], power: int) -> None:
    plain = minutes([([c], [b]) for c, b in rows])[-1].verdicts[0]
    scaled = minutes([([math.ldexp(c, power)], [math.ldexp(b, power)]) for c, b in rows])[-1].verdicts[0]
    assert scaled.log_e_harm == plain.log_e_harm
    assert scaled.log_e_no_harm == plain.log_e_no_harm
    assert scaled.verdict == plain.verdict
    assert scaled.effect == pytest.approx(math.ldexp(plain.effect or 0.0, power), rel=1e-5)


@settings(max_examples=6, deadline=None)
@given(rows_of, st.sets(st.integers(0, 10), max_size=5))
def test_looks_without_data_change_nothing(rows: list[tuple[float, float]], gaps: set[int]) -> None:
    looks: list[list[MetricCounts]] = [[gauges([c], [b])] for c, b in rows]
    holed = [one for index, row in enumerate(looks) for one in ([[silent("cpu")], row] if index in gaps else [row])]
    judge_ = judge(cpu(), look=timedelta(minutes=1))
    with_gaps, without = fold(judge_, holed)[-1].verdicts[0], fold(judge_, looks)[-1].verdicts[0]
    assert with_gaps.log_e_harm == without.log_e_harm
    assert with_gaps.log_e_no_harm == without.log_e_no_harm
    assert with_gaps.interval == without.interval


wild = st.one_of(
    st.sampled_from([0.0, -0.0, 1e100, -1e100, 5e-324, 1e-300, 1.0, 1e9]), st.floats(-1e100, 1e100, allow_nan=False)
)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(wild, min_size=1, max_size=3), st.lists(wild, min_size=1, max_size=3)),
        min_size=1,
        max_size=14,
    )
)
def test_whatever_comes_there_is_a_verdict(rows: list[tuple[list[float], list[float]]]) -> None:
    for metric in (cpu(), cpu(direction="down", tolerance=1.0)):
        verdict = minutes(rows, metric)[-1].verdicts[0]
        shown = (verdict.effect, *(verdict.interval or ()), verdict.margin, verdict.log_e_harm, verdict.log_e_no_harm)
        assert all(math.isfinite(value) for value in shown if value is not None)


def test_a_batch_begins_without_a_unit() -> None:
    """Each run of a batch takes its unit from its own first level, as different as they are."""
    metric = ValueMetric(1.2, 1.3, 0.0)
    state, one = metric.start(2), np.ones(2)
    for number in range(12):
        level = np.array([1.0, 2.0**-300]) * (1.0 + 0.1 * (number % 3))
        state = metric.update(state, ValueMeans(1.5 * level, level, one > 0), PACE)
    harm = metric.weigh(state).harm
    assert harm[0] == harm[1] > 0


def test_constant_gauges_are_told_apart_or_are_the_same() -> None:
    assert minutes([([3.0], [3.0])] * 10)[-1].finding is Finding.NO_HARM
    assert minutes([([0.0], [0.0])] * 10)[-1].finding is Finding.NO_HARM
    assert minutes([([4.0], [3.0])] * 20)[-1].finding is Finding.HARM
    assert minutes([([1.0], [0.0])] * 20)[-1].finding is Finding.HARM


def test_what_is_no_number_is_refused_by_name() -> None:
    for values, said in (([math.nan], "is no number"), ([math.inf], "is no number"), ([2e100], "use another unit")):
        with pytest.raises(InputError, match=said) as caught:
            minutes([(values, [1.0])])
        assert "counts.cpu.canary.values[0]" in str(caught.value)
    with pytest.raises(InputError, match=r"counts\.cpu\.baseline\.values: missing"):
        look(judge(cpu()), [MetricCounts(metric="cpu", canary=ArmCounts(values=[1.0]), baseline=ArmCounts(total=3))])


def test_an_arm_without_instances_has_no_data() -> None:
    found = minutes([([], [1.0])])[-1]
    assert found.finding is Finding.NO_DATA
    assert "no instance of the canary has a value" in found.reason


def test_the_state_stays_small_however_long() -> None:
    rng = np.random.default_rng(9)
    judge_ = judge(errors(), cpu(), look=timedelta(minutes=1))
    alone = judge(errors(), look=timedelta(minutes=1))
    rows = [[ratio(1, 200, 9, 1800), gauges([1e9 * rng.random()], [1e9 * rng.random()])] for _ in range(200)]
    both, one = fold(judge_, rows)[-1].evidence, fold(alone, [row[:1] for row in rows])[-1].evidence
    assert bare_size(both) - bare_size(one) <= 2560


def test_a_history_tells_the_noise_and_lets_a_small_harm_roll_back() -> None:
    rng = np.random.default_rng(12)
    past = [[gauges([10 + rng.standard_normal()], [10 + rng.standard_normal()])] for _ in range(120)]
    history = summarise_history(past, 60.0, [cpu()])
    # Two arms of variance 1, at a level of 10.
    assert history.looks == 120
    assert history.channels["cpu"]["difference"].tau2 == pytest.approx(2 / 100, rel=0.6)
    rows = [[gauges([13 + rng.standard_normal()], [10 + rng.standard_normal()])] for _ in range(40)]
    judge_ = judge(cpu(), history=history, look=timedelta(minutes=1))
    found = fold(judge_, rows)
    assert found[0].verdicts[0].margin == pytest.approx(1.0, abs=0.3)
    assert found[-1].finding is Finding.HARM
    short = summarise_history(past[:70], 5.0, [cpu()])
    assert short.channels["cpu"] == {}


def test_a_noisier_history_makes_it_slower() -> None:
    rng = np.random.default_rng(13)
    rows = [[gauges([12 + rng.standard_normal()], [10 + rng.standard_normal()])] for _ in range(15)]
    found = []
    for spread in (1.0, 5.0):
        past = [[gauges([10 + spread * rng.standard_normal()], [10.0])] for _ in range(100)]
        history = summarise_history(past, 60.0, [cpu()])
        found.append(fold(judge(cpu(), history=history, look=timedelta(minutes=1)), rows)[-1].verdicts[0])
    assert found[0].log_e_harm > found[1].log_e_harm
