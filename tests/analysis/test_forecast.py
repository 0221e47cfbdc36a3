"""The forecast against the judge itself on seeded counts, against exact laws, and at its edges."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, invgauss
from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail

from benchmarks.plan import measure
from benchmarks.plan_settings import FURTHER, SETTINGS, Setting
from coalmine.analysis import mixture
from coalmine.analysis.dispersion import Prior
from coalmine.analysis.forecast.course import Stretch, chart
from coalmine.analysis.forecast.evidence import Traffic, View
from coalmine.analysis.forecast.gauges import Gauge
from coalmine.analysis.forecast.noise import Noise
from coalmine.analysis.forecast.outlook import Level, Outlook
from coalmine.analysis.forecast.passage import first_passage
from coalmine.analysis.forecast.processes import (
    Rule,
    burn_statistic,
    crash,
    events_statistic,
    latency_harm,
    latency_slots,
    mean_normaliser,
)
from coalmine.analysis.forecast.report import Forecaster
from coalmine.analysis.increments import log_normaliser
from coalmine.analysis.value import ValueMetric
from coalmine.records import ArmCounts, BurnCounts, ChannelHistory, MetricCounts, ServiceHistory
from coalmine.spec.metrics import BurnRate, Metric, Slo
from tests.analysis.looks import errors, fold, judge, ratio

SLICE = (0, 3, 8, 11, 15, 19, 21, 26, 28)
"""Settings of the benchmark that decide within a few looks: both metrics, both directions, history, steps."""


@pytest.mark.parametrize("number", SLICE)
def test_the_median_is_what_the_judge_then_takes(number: int) -> None:
    row = measure(SETTINGS[number], runs=120, seed=5_000 + number)
    assert row["within"], row["looks"]


@pytest.mark.parametrize("number", [1, 5, 7, 10, 12, 16, 17, 18, 19, 23, 25, 27])
def test_so_it_is_of_gauges_counts_and_objectives(number: int) -> None:
    row = measure(FURTHER[number], runs=120, seed=6_000 + number)
    assert row["within"], row["looks"]


@pytest.mark.parametrize(("known", "beta", "looks"), [(True, 1e-3, 2), (False, 1e-4, 5)])
def test_what_one_look_may_add_to_the_proof_is_what_the_judge_lets_it_add(known: bool, beta: float, looks: int) -> None:
    """Half a million requests an arm in every look: nothing but the cap on a look keeps the first from being enough."""
    history = ServiceHistory(looks=120, channels={"errors": {"events": ChannelHistory(tau2=0.0)}})
    asked = judge(errors(), history=history if known else None, alpha=0.1, beta=beta)
    outlook = Outlook(asked, 100_000, {"errors": Level.of_ratio(0.02)})
    told = outlook.no_harm(asked.metrics[0], outlook.course([Stretch(60, 0.5)]))
    assert (told.looks(0.05), told.looks(0.95)) == (looks, looks)
    found = fold(asked, [[ratio(10_000, 500_000, 10_000, 500_000)]] * looks, share=0.5)
    shown = [one.verdicts[0].log_e_no_harm >= math.log(1 / beta) for one in found]
    assert shown == [False] * (looks - 1) + [True]


def test_what_one_look_may_add_to_a_burn_is_what_the_judge_lets_it_add() -> None:
    rates = [
        BurnRate(rate=1.0, long=timedelta(hours=1), short=timedelta(minutes=5)),
        BurnRate(rate=50.0, long=timedelta(hours=2), short=timedelta(minutes=10)),
    ]
    metric = Metric(name="availability", kind="slo", slo=Slo(objective=0.99, burn=rates))
    asked = judge(metric, alpha=0.15)
    outlook = Outlook(asked, 100_000, {"availability": Level.of_ratio(0.001)})
    told = outlook.harm(metric, 20.0, outlook.course([Stretch(60, 0.5)]))
    assert (told.looks(0.05), told.looks(0.95)) == (3, 3)
    windows = [BurnCounts(seconds=length, total=500_000, events=100_000) for length in (300, 600, 3600, 7200)]
    canary = ArmCounts(total=500_000, events=100_000, burn=windows)
    row = MetricCounts(metric="availability", canary=canary, baseline=ArmCounts(total=500_000, events=0), seconds=10.0)
    found = fold(asked, [[row]] * 3, share=0.5)
    assert [one.verdicts[0].log_e_harm >= math.log(1 / 0.15) for one in found] == [False, False, True]


# ------------------------------------------------------------------------------------------------- passage


def test_whole_events_are_followed_exactly() -> None:
    steps, chance = 6, 0.2
    found = first_passage(
        np.full(steps, 3 * chance), np.full(steps, 3 * chance * (1 - chance)), np.full(steps, 4.0), whole=True
    )
    # Counts never fall: to have reached 4 by now is to have at least 4 now.
    assert found == pytest.approx([binom.sf(3, 3 * (step + 1), chance) for step in range(steps)], abs=1e-9)


def test_counting_downwards_is_the_mirror() -> None:
    steps = 8
    mean, variance = np.full(steps, 0.4), np.full(steps, 0.4)
    boundary = np.arange(steps, dtype=float) * 0.8 - 1.0
    below = first_passage(-mean, variance, np.negative(boundary), whole=True)
    # Reaching boundary from below with -x is x falling to it: by hand, over all paths of a short walk.
    law = {0: 1.0}
    crossed = 0.0
    for step in range(steps):
        after: dict[int, float] = {}
        for total, mass in law.items():
            for more in range(14):
                now = total + more
                part = mass * math.exp(-0.4) * 0.4**more / math.factorial(more)
                if now <= boundary[step] + 1e-9:
                    crossed += part
                else:
                    after[now] = after.get(now, 0.0) + part
        law = after
        assert below[step] == pytest.approx(crossed, abs=1e-6)


@pytest.mark.parametrize("drift", [0.05, 0.2])
def test_many_small_steps_are_brownian_motion(drift: float) -> None:
    level, steps = 12.0, 4000
    found = first_passage(np.full(steps, drift), np.full(steps, 0.25), np.full(steps, level), whole=False)
    mean, shape = level / drift, level**2 / 0.25
    # Between looks nobody looks: the level is as if 0.583 standard deviations of a step higher (Siegmund).
    higher = level + 0.5826 * 0.5
    mean, shape = higher / drift, higher**2 / 0.25
    at = np.array([100, 400, 1500])
    exact = invgauss.cdf(at, mean / shape, scale=shape)
    assert found[at - 1] == pytest.approx(exact, abs=0.01)


def test_a_boundary_nobody_reaches_and_one_everybody_has() -> None:
    ones = np.ones(3)
    assert (first_passage(ones, ones, np.full(3, np.inf), whole=True) == 0).all()
    assert first_passage(ones, ones, np.full(3, -np.inf), whole=True) == pytest.approx(1.0)
    assert first_passage(ones, 0 * ones, np.array([5.0, 2.0, 3.0]), whole=False) == pytest.approx([0.0, 1.0, 1.0])


# -------------------------------------------------------------------------------------------------- course


def test_a_course_invests_as_the_judge_does() -> None:
    stretches = [Stretch(20, 0.01), Stretch(30, 0.1), Stretch(200, 0.5)]
    course = chart(stretches, planned=70)
    spent, by_look = 0.0, []
    for look in range(1, 251):
        weight = mixture.invest(spent, look, 70, new_step=look in (21, 51), extension=look > 70)
        spent = min(1.0, spent + weight)
        by_look.append((weight, 1.0 - spent))
    assert course.first == pytest.approx([by_look[0][0], by_look[20][0], by_look[50][0]])
    assert course.unspent == pytest.approx([by_look[look - 1][1] for look in course.at], abs=1e-12)
    assert (course.looks.sum(axis=1) == course.at).all()
    total = (course.first * (course.looks > 0)).sum(axis=1) + course.later.sum(axis=1) + course.unspent
    assert total == pytest.approx(1.0)
    assert {20, 50, 250} <= set(course.at.tolist())


def test_the_normaliser_of_expectations_is_that_of_many_counts() -> None:
    n_c, n_b, e = np.array([40_000.0]), np.array([160_000.0]), np.array([30_000.0])
    ratios = np.array([0.5, 1.0, 2.0, 7.0])
    exact, leading = log_normaliser(n_c, n_b, e, ratios)[0], mean_normaliser(n_c, n_b, e, ratios)[0]
    assert leading - leading[1] == pytest.approx(exact - exact[1], abs=0.2)
    assert mean_normaliser(0.01 * n_c, 0.01 * n_b, 0.01 * e, ratios)[0] == pytest.approx(0.01 * leading)


def test_the_normaliser_of_expectations_is_0_where_nothing_else_is_possible() -> None:
    canary, baseline = np.array([5.0, 5.0, 0.0, 5.0]), np.array([7.0, 7.0, 7.0, 0.0])
    found = mean_normaliser(canary, baseline, np.array([0.0, 12.0, 2.0, 2.0]), np.array([0.5, 2.0]))
    assert found.tolist() == [[0.0, 0.0]] * 4


def test_the_covariance_of_two_buckets_is_hypergeometric() -> None:
    traffic = Traffic(np.array([[90.0, 10.0]]), np.array([[900.0, 100.0]]))
    events = np.array([0.0, 1.0])
    exact = 1.0 / (1 / 90 + 1 / 10 + 1 / 900 + 1 / 100)
    assert traffic.covariance(events, events)[0] == pytest.approx(exact)


def test_an_empty_bucket_is_as_if_it_were_not_there() -> None:
    there = Traffic(np.array([[90.0, 10.0]]), np.array([[900.0, 100.0]]))
    holed = Traffic(np.array([[90.0, 0.0, 10.0]]), np.array([[900.0, 0.0, 100.0]]))
    assert holed.spread.tolist() == [[there.spread[0, 0], 0.0, there.spread[0, 1]]]
    events, also = np.array([0.0, 1.0]), np.array([0.0, 1.0, 1.0])
    assert holed.covariance(also, also) == pytest.approx(there.covariance(events, events))


@pytest.mark.parametrize(("times", "caught"), [(1.15, False), (1.6, True)])
def test_scores_count_only_while_the_odds_above_a_bound_are_over_the_margin(times: float, caught: bool) -> None:
    """Three in ten above the objective: shares of that size are no odds. Scores alone would soon be sure of either."""
    level, margin = Level(np.array([0.4, 0.3, 0.2, 0.1]), (0.1, 0.2, 0.5)), 1.2
    canary, baseline = 2000.0 * level.worse(1, times).shares[None], 2000.0 * level.shares[None]
    traffic, buckets = Traffic(canary, baseline), np.arange(4)
    slots = [
        events_statistic(traffic, (buckets > bound).astype(float), Noise(), margin, 6)
        for _, bound in latency_slots(traffic, 1)
    ]
    evidence, _ = latency_harm(traffic, slots, (Noise(), Noise()), Rule(margin, 0.0, 1.3), 6)
    course = chart([Stretch(60, 0.5)], 60)
    found = evidence(View(course, traffic, 4.6, np.zeros((course.size, 1, 1, 4))))[-1, 0]
    # Nothing shown is evidence of 1 at most, which is 0 nats.
    assert (found > 4.6) if caught else (found <= 0.0)


def test_a_worse_level_keeps_the_proportions_on_either_side() -> None:
    level = Level(np.array([0.5, 0.4, 0.06, 0.04]), (0.1, 0.2, 0.5))
    worse = level.worse(1, 3.0)
    assert worse.shares.sum() == pytest.approx(1.0)
    assert worse.above(1) / (1 - worse.above(1)) == pytest.approx(3.0 * 0.1 / 0.9)
    assert worse.shares[2] / worse.shares[3] == pytest.approx(1.5)
    assert worse.shares[0] / worse.shares[1] == pytest.approx(1.25)


def test_a_level_of_none_or_all_stays_so() -> None:
    for shares in ([1.0, 0.0], [0.0, 1.0]):
        assert Level(np.array(shares)).worse(0, 3.0).shares.tolist() == shares


def test_a_burning_canary_is_followed_by_its_bad_requests() -> None:
    canary = np.array([[990.0, 10.0]])
    looks = burn_statistic(Traffic(canary, 9 * canary), 0.02, 6).residuals
    assert looks.events == pytest.approx(10.0)
    assert looks.t == pytest.approx(10.0 - 0.02 * 1000)
    assert looks.v == pytest.approx(1000 * 0.01 * 0.99)


@pytest.mark.parametrize(("margin", "guarded"), [(1.1, True), (5.0, False)])
def test_what_a_wide_margin_allows_is_no_crash(margin: float, guarded: bool) -> None:
    """Three quarters bad against 45 %: 3.7 times the odds."""
    traffic = Traffic(np.array([[25.0, 75.0]]), np.array([[55.0, 45.0]]))
    course = chart([Stretch(20, 0.5)], 20)
    statistic = events_statistic(traffic, np.array([0.0, 1.0]), Noise(), margin, 6)
    view = View(course, traffic, 3.0, np.zeros((course.size, 1, 1, 2)))
    assert (crash(traffic, statistic, margin)(view)[-1, 0] > 3.0) == guarded


def test_a_gauge_that_is_not_caught_soon_is_followed_to_the_end() -> None:
    prior = Prior(np.array([0.25]), np.ones(1, bool))
    gauge = Gauge(ValueMetric(1.2, 1.3, 0.0, known=prior), noise=0.5)
    at, chance = gauge.harm(0.26, math.log(100), 3000)
    assert at.size > 60
    assert chance[59] < 0.5
    assert chance[-1] > chance[59] + 0.1


# --------------------------------------------------------------------------------------------------- edges


def setting(**changes: Any) -> Setting:
    said: dict[str, Any] = {"kind": "ratio", "weights": (10,), "looks": (30,), "rps": 200, "look_s": 10, "times": 2}
    return Setting(**(said | changes))


def looks(one: Setting, chance: float = 0.5) -> float:
    return one.forecast().looks(chance) or math.inf


def test_more_of_anything_decides_sooner() -> None:
    usual = looks(setting())
    assert looks(setting(rps=1000)) < usual
    assert looks(setting(weights=(50,))) < usual
    assert looks(setting(times=5)) < usual
    assert looks(setting(look_s=60)) < usual
    assert looks(setting(known=False)) > usual
    assert looks(setting(), 0.95) > looks(setting(), 0.8) > usual


def test_within_the_margin_nothing_is_ever_caught() -> None:
    assert setting(times=1.1, margin=1.2).forecast().chance[-1] < 0.01
    assert setting(rate=0.0001, times=2).forecast().chance[-1] < 0.01, "below the floor"


@pytest.mark.parametrize("kind", ["value", "count"])
def test_what_a_gauge_or_a_count_is_allowed_is_never_caught(kind: str) -> None:
    one = setting(kind=kind, rate=7200, wobble=0.1, margin=1.2)
    assert replace(one, times=1.2).forecast().chance[-1] < 0.01
    tolerance = 0.5 if kind == "value" else 1.5 * one.rate
    assert replace(one, times=1.49, tolerance=tolerance).forecast().chance[-1] < 0.01
    assert replace(one, times=2.5, tolerance=tolerance).forecast().chance[-1] > 0.99


def test_a_gauge_decides_by_blocks_whatever_its_traffic_is() -> None:
    one = setting(kind="value", wobble=0.02, times=3)
    assert looks(one) == looks(replace(one, weights=(1,), rps=1)) == 60, "ten blocks of six looks"
    assert looks(replace(one, look_s=60)) == looks(replace(one, look_s=300)) == 10
    assert looks(replace(one, times=1.5, wobble=0.5)) > 60
    assert looks(replace(one, times=1, wobble=0.02)) == 60


def test_an_objective_that_burns_less_fast_than_its_rates_is_never_caught() -> None:
    one = setting(kind="slo", known=False, rate=0.005)
    assert (replace(one, times=5.9).forecast().chance == 0).all()
    assert looks(replace(one, times=14.5)) < looks(replace(one, times=8))
    assert looks(replace(one, times=1000)) < 3


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(["ratio", "latency", "count", "value", "slo"]),
    st.sampled_from([(0.01,), (50,), (1, 99.99)]),
    st.sampled_from([0.001, 3.0, 1e6]),
    st.sampled_from([1e-9, 0.01, 0.999]),
    st.sampled_from([1, 1.5, 1000]),
    st.booleans(),
)
def test_extremes_give_chances(
    kind: str, weights: tuple[float, ...], rps: float, rate: float, times: float, known: bool
) -> None:
    one = setting(
        kind=kind, weights=weights, looks=(3,) * len(weights), rps=rps, rate=rate, times=times, known=known, wobble=rate
    )
    chance = one.forecast().chance
    assert np.isfinite(chance).all()
    assert (np.diff(chance) >= -1e-9).all()
    assert chance[0] >= 0.0
    assert chance[-1] <= 1.0 + 1e-9


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
@pytest.mark.parametrize("times", [1.5, 3.0])
def test_the_fixed_test_is_statsmodels(times: float, share: float) -> None:
    one = setting(weights=(100 * share,), times=times, rate=0.005)
    outlook = one.outlook()
    metric = outlook.judge.metrics[0]
    found = Forecaster(outlook, [], {}, [times])._fixed(metric, times, share)
    bad = outlook.levels[metric.name].worse(0, times).above(0)
    published = samplesize_proportions_2indep_onetail(
        bad - 0.005, 0.005, 0.8, ratio=(1 - share) / share, alpha=0.01, alternative="larger"
    )
    assert found == math.ceil(published)
