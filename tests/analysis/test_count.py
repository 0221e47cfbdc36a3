"""Events without requests: the likelihood by enumeration, the error rates by simulation."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from coalmine.analysis import summarise_history
from coalmine.analysis.channels import Pace
from coalmine.analysis.count import CountMetric, EventCounts, log_likelihood
from coalmine.analysis.dispersion import Prior
from coalmine.analysis.kinds import weigh
from coalmine.analysis.mixture import invest
from coalmine.analysis.trees import leaves
from coalmine.errors import InputError
from coalmine.records import ArmCounts, Evaluation, Finding, MetricCounts
from coalmine.spec.metrics import Metric
from tests.analysis.looks import bare_size, errors, fold, judge, look, ratio

NEVER = 10**6


def kills(**options: Any) -> Metric:
    return Metric(name="kills", kind="count", **options)


def events(canary: int, baseline: int, seconds: float | None = None) -> MetricCounts:
    arms = {"canary": ArmCounts(events=canary), "baseline": ArmCounts(events=baseline)}
    return MetricCounts(metric="kills", seconds=seconds, **arms)


def looks(
    rows: list[tuple[int, int]], metric: Metric | None = None, share: float = 0.1, **policy: Any
) -> list[Evaluation]:
    judge_ = judge(metric or kills(), **{"no_history": "roll_back", **policy})
    return fold(judge_, [[events(*row)] for row in rows], share=share)


def first_looks(
    rates_c: NDArray[Any], rate_b: NDArray[Any], share: float, seed: int, **options: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """First look of harm and of no harm of every run, from events per look and unit of traffic, [S, T]."""
    rng = np.random.default_rng(seed)
    known = Prior(np.zeros(1), np.ones(1, bool))
    metric = CountMetric(**{"margin": 1.0, "no_harm": 1.5, "tolerance": 0.0, "prior": known, **options})
    runs, length = rates_c.shape
    state, ones = metric.start(runs), np.ones(runs)
    harm, proof, spent = np.full(runs, NEVER), np.full(runs, NEVER), 0.0
    for number in range(length):
        weight = invest(spent, number + 1, length, new_step=False, extension=False)
        spent += weight
        counts = EventCounts(
            rng.poisson(share * rates_c[:, number]), rng.poisson((1 - share) * rate_b[:, number]),
            share * ones, 10 * ones, ones > 0,
        )  # fmt: skip
        state = metric.update(state, counts, Pace(weight, 2.5 * math.log(100), 6))
        weighed = weigh(metric, state, 1 - spent)
        harm = np.where((harm == NEVER) & (weighed.harm >= math.log(100)), number + 1, harm)
        proof = np.where((proof == NEVER) & (weighed.no_harm >= math.log(20)), number + 1, proof)
    return harm, proof


# --------------------------------------------------------------------------------------------------- formulae


@pytest.mark.parametrize(("more", "other", "share"), [(0, 4, 0.1), (3, 4, 0.1), (7, 0, 0.5), (40, 200, 0.01)])
def test_the_likelihood_is_the_binomial_one(more: int, other: int, share: float) -> None:
    ratios = np.array([0.25, 1.0, 1.5, 30.0])
    found = log_likelihood(np.array(float(more)), np.array(float(other)), np.array(share), ratios)
    exact = stats.binom.logpmf(more, more + other, share * ratios / (share * ratios + 1 - share))
    assert found - found[1] == pytest.approx(exact - exact[1], abs=1e-9)


@pytest.mark.parametrize("ratio_", [1.5, 4.0, 30.0])
def test_its_ratio_is_an_e_value_by_exact_enumeration(ratio_: float) -> None:
    """Under the null and whatever the rates, the expectation of the likelihood ratio is 1."""
    share, margin = 0.2, 1.2
    for total in range(1, 12):
        more = np.arange(total + 1.0)
        found = log_likelihood(more, total - more, np.full(total + 1, share), np.array([margin * ratio_, margin]))
        chance = stats.binom.pmf(more, total, share * margin / (share * margin + 1 - share))
        assert (chance * np.exp(found[:, 0] - found[:, 1])).sum() == pytest.approx(1.0)


def test_the_interval_holds_what_conditional_intervals_hold() -> None:
    """One look: it contains the exact conditional interval of the ratio, and is not many times as wide."""
    last = looks([(30, 180)], share=0.1)[-1].verdicts[0]
    assert last.interval is not None
    ends = [stats.beta.ppf(0.005, 30, 181), stats.beta.ppf(0.995, 31, 180)]
    low, high = (p / (1 - p) * 0.9 / 0.1 for p in ends)
    assert last.interval[0] < low < high < last.interval[1]
    assert last.interval[1] / last.interval[0] < (high / low) ** 2
    assert last.effect == pytest.approx((30 / 0.1) / (180 / 0.9), rel=0.02)


# ----------------------------------------------------------------------------------------------- the error rates


@pytest.mark.parametrize(("share", "rate"), [(0.01, 40.0), (0.1, 4.0), (0.5, 0.5), (0.5, 40.0)])
def test_releases_without_fault_are_left_alone(share: float, rate: float) -> None:
    """Also when a shock hits both arms: half of the looks have ten times the events."""
    shocked = np.full((400, 120), rate) * np.where(np.random.default_rng(1).random((400, 120)) < 0.5, 10.0, 1.0)
    for down in (False, True):
        harm, _ = first_looks(shocked, shocked, share, seed=31, down=down)
        assert (harm < NEVER).mean() <= 0.01 + 2.6 * math.sqrt(0.01 / 400)


def test_harm_is_seldom_proven_harmless_and_soon_found() -> None:
    usual = np.full((300, 120), 20.0)
    harm, proof = first_looks(1.5 * usual, usual, 0.1, seed=32)
    assert (proof < NEVER).mean() <= 0.05 + 2.6 * math.sqrt(0.05 / 300)
    harm, _ = first_looks(3.0 * usual, usual, 0.1, seed=33)
    assert np.median(harm) <= 6
    harm, _ = first_looks(usual / 3.0, usual, 0.1, seed=34, down=True)
    assert np.median(harm) <= 12
    _, proof = first_looks(usual, usual, 0.1, seed=35)
    assert np.median(proof) <= 60


def test_few_events_are_harmless_below_the_tolerance() -> None:
    """A million times the baseline's rate, but three an hour."""
    quiet, none = np.full((100, 120), 3 / 360), np.full((100, 120), 3e-8)
    loud = np.full((100, 120), 3.0)
    harm, _ = first_looks(quiet, none, 0.5, seed=36, tolerance=20.0)
    assert (harm == NEVER).all()
    harm, _ = first_looks(loud, none, 0.5, seed=37, tolerance=20.0)
    assert (harm < NEVER).all()


def test_no_events_at_all_prove_no_harm_by_the_tolerance_only() -> None:
    assert looks([(0, 0)] * 60)[-1].finding is Finding.UNDECIDED
    assert looks([(0, 0)] * 60, kills(tolerance=120.0), share=0.5)[-1].finding is Finding.NO_HARM


# -------------------------------------------------------------------------------------------------- the verdicts


def test_more_kills_roll_back_and_are_told_per_traffic() -> None:
    last = looks([(20, 20)] * 4)[-1]
    verdict = last.verdicts[0]
    assert last.finding is Finding.HARM
    assert verdict.measure == "rate ratio"
    assert verdict.effect == pytest.approx(9.0, rel=0.03)
    assert "80 in the canary at 10 % of the traffic against 80 in the baseline (x9" in verdict.sentence
    assert "at least x" in verdict.sentence
    assert verdict.canary == pytest.approx(80 / (4 * 10 / 3600 * 0.1), rel=1e-4)


def test_fewer_orders_are_harm_where_down_is_worse() -> None:
    found = looks([(20, 600)] * 6, kills(direction="down"))[-1]
    verdict = found.verdicts[0]
    assert found.finding is Finding.HARM
    assert verdict.effect == pytest.approx(0.3, rel=0.03)
    assert verdict.margin == pytest.approx(1 / 1.2, abs=1e-4)
    assert verdict.interval is not None
    assert verdict.interval[1] < 1 / 1.2
    assert "at most x" in verdict.sentence
    assert looks([(20, 600)] * 6)[-1].finding is Finding.NO_HARM


def test_fewer_orders_within_the_margin_are_told_with_both_ends() -> None:
    sentence = looks([(58, 600)] * 2, kills(direction="down"))[-1].verdicts[0].sentence
    assert re.search(r"\(x0\.\d\d, between x0\.\d\d and x1\.\d\d; margin x0\.83\)", sentence), sentence


def test_one_sided_counts_scale_their_noise_at_most_twentyfold() -> None:
    metric = CountMetric(margin=1.0, no_harm=1.5, tolerance=0.0, prior=Prior(np.zeros(1), np.ones(1, bool)))
    state, one = metric.start(1), np.ones(1)
    for share in (0.3, 0.7, 0.3, 0.7):
        counts = EventCounts(0 * one, 500 * one, share * one, 10 * one, one > 0)
        state = metric.update(state, counts, Pace(0.1, 5.0, 6))
    observed, _ = state.noise.observed(np.full((1, 1), 0.05), noise=1.0)
    assert state.noise.recent[..., -1] == pytest.approx(observed)
    assert observed[0, 0] > 0


def test_a_window_in_which_the_weight_changed_is_no_bet() -> None:
    judge_ = judge(kills(), no_history="roll_back")
    before = fold(judge_, [[events(5, 45)]], share=0.1)[-1]
    after = look(judge_, [events(500, 0)], before.evidence, share=None)
    assert after.finding is Finding.UNDECIDED
    assert after.verdicts[0].effect == pytest.approx(before.verdicts[0].effect, rel=0.02)
    assert after.verdicts[0].canary == before.verdicts[0].canary
    assert after.verdicts[0].verdict == "inconclusive"


def test_a_history_makes_a_noisy_count_slower() -> None:
    rng = np.random.default_rng(41)
    noisy = [[events(int(rng.poisson(10 * rng.gamma(1))), int(rng.poisson(90 * rng.gamma(1))))] for _ in range(100)]
    quiet = [[events(int(rng.poisson(10)), int(rng.poisson(90)))] for _ in range(100)]
    rows = [[events(20, 90)]] * 4
    found = []
    for past in (quiet, noisy):
        history = summarise_history(past, 10.0, [kills()])
        assert set(history.channels["kills"]) == {"events"}
        found.append(fold(judge(kills(margin=1.1), history=history), rows, share=0.1)[-1].verdicts[0].log_e_harm)
    assert found[0] > found[1]


def test_evidence_for_harm_alone_rounds_the_dispersion_up() -> None:
    """The proof, by the ratio or by the tolerance, is at the dispersion with its reserve (``tempered``)."""
    rng = np.random.default_rng(43)
    metric = CountMetric(1.0, 1.5, 20.0, Prior(np.zeros(1), np.ones(1, bool)))
    state, ones = metric.start(1), np.ones(1)
    for _ in range(30):
        drawn = (float(rng.poisson(10 * rng.gamma(2) / 2)) * ones, float(rng.poisson(90 * rng.gamma(2) / 2)) * ones)
        state = metric.update(state, EventCounts(*drawn, 0.1 * ones, 10 * ones, ones > 0), Pace(0.01, 4.0, 6))
    asked = next(iter(metric.weighing(state, 0.5)))
    assert [bet.rounded for bet in asked] == [True, False, True, False]


# ------------------------------------------------------------------------------------------------- properties

few = st.integers(0, 60)
rows_of = st.lists(st.tuples(few, few), min_size=1, max_size=8)


@settings(max_examples=20, deadline=None)
@given(rows_of)
def test_swapping_the_arms_is_the_other_direction(rows: list[tuple[int, int]]) -> None:
    up = looks(rows, share=0.25)[-1].verdicts[0]
    down = looks([(b, c) for c, b in rows], kills(direction="down"), share=0.75)[-1].verdicts[0]
    assert (up.log_e_harm, up.log_e_no_harm) == (down.log_e_harm, down.log_e_no_harm)
    if up.effect is not None and down.effect is not None:
        assert down.effect == pytest.approx(1 / up.effect, abs=1e-3, rel=1e-3)


@settings(max_examples=15, deadline=None)
@given(rows_of, st.sets(st.integers(0, 7), max_size=4))
def test_looks_without_data_add_no_evidence(rows: list[tuple[int, int]], gaps: set[int]) -> None:
    metric = CountMetric(1.1, 1.5, 3.0, Prior(np.zeros(1), np.zeros(1, bool)))
    pace, one = Pace(0.0, 9.0, 6), np.ones(1)
    holed = plain = metric.start(1)
    for index, (canary, baseline) in enumerate(rows):
        counts = EventCounts(canary * one, baseline * one, 0.2 * one, 10 * one, one > 0)
        holed, plain = metric.update(holed, counts, pace), metric.update(plain, counts, pace)
        if index in gaps:
            holed = metric.update(holed, EventCounts(9 * one, 0 * one, 0.5 * one, 99 * one, one < 0), pace)
    for (_, there), (_, without) in zip(leaves(holed), leaves(plain), strict=True):
        assert np.array_equal(there, without)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 7, 10**6, 10**12]), st.sampled_from([0, 1, 10**12])), min_size=1, max_size=6
    ),
    st.sampled_from([1e-4, 0.1, 0.9999]),
    st.booleans(),
)
def test_whatever_comes_there_is_a_verdict(rows: list[tuple[int, int]], share: float, down: bool) -> None:
    metric = kills(direction="down") if down else kills(tolerance=3.0)
    verdict = looks(rows, metric, share)[-1].verdicts[0]
    shown = (verdict.effect, *(verdict.interval or ()), verdict.log_e_harm, verdict.log_e_no_harm, verdict.canary)
    assert all(math.isfinite(value) for value in shown if value is not None)


def test_what_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"counts\.kills\.canary\.events: -1 is negative"):
        look(judge(kills()), [events(-1, 0)])
    with pytest.raises(InputError, match=r"counts\.kills\.baseline\.events: missing"):
        look(judge(kills()), [MetricCounts(metric="kills", canary=ArmCounts(events=1), baseline=ArmCounts(total=3))])
    with pytest.raises(InputError, match=r"counts\.kills\.seconds: 0 is no length"):
        look(judge(kills()), [events(1, 1, seconds=0.0)])


def test_the_state_stays_small() -> None:
    rng = np.random.default_rng(8)
    metric = kills(tolerance=1.0)
    rows = [
        [ratio(1, 200, 9, 1800), events(int(10 ** rng.uniform(0, 9)), int(10 ** rng.uniform(0, 9)))] for _ in range(80)
    ]
    both = fold(judge(errors(), metric), rows, share=0.3)[-1].evidence
    one = fold(judge(errors()), [row[:1] for row in rows], share=0.3)[-1].evidence
    assert bare_size(both) - bare_size(one) <= 2560


@pytest.mark.parametrize("share", [None, 1.0])
def test_without_a_share_of_the_traffic_no_rate_is_told(share: float | None) -> None:
    told = look(judge(errors(), kills()), [ratio(1, 100, 2, 900), events(0, 3)], share=share).verdicts[1]
    assert (told.baseline, told.canary, told.effect) == (None, None, None)
    assert told.sentence.startswith("kills: 0 in the canary at unknown of the traffic")
