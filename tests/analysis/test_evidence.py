"""Mixtures, dispersion, interval: the parts between a likelihood and a verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.analysis import mixture
from coalmine.analysis.dispersion import Dispersion, Prior
from coalmine.analysis.grids import CURVE_RATIOS, HARM_LOG_PRIOR, HARM_RATIOS, PHI_LADDER
from coalmine.analysis.increments import curve
from coalmine.analysis.interval import estimate, interval
from coalmine.analysis.tempering import tempered

COLD = Prior(np.zeros(1), np.zeros(1, bool))


@given(st.integers(1, 200), st.lists(st.booleans(), min_size=1, max_size=400))
@settings(max_examples=60, deadline=None)
def test_cash_is_never_overspent(planned: int, steps: list[bool]) -> None:
    spent = 0.0
    for number, new_step in enumerate(steps, start=1):
        weight = mixture.invest(spent, number, planned, new_step=new_step, extension=number > planned)
        assert weight > 0
        spent += weight
    assert spent < 1.0


def test_the_first_look_invests_three_quarters_and_a_new_step_half_of_the_rest() -> None:
    assert mixture.invest(0.0, 1, 100, new_step=False, extension=False) == 0.75
    assert mixture.invest(0.8, 7, 100, new_step=True, extension=False) == pytest.approx(0.1)


def test_without_data_evidence_is_exactly_one() -> None:
    capital, spent = mixture.empty((1,), HARM_RATIOS.size), 0.0
    for look in range(1, 50):
        weight = mixture.invest(spent, look, 40, new_step=False, extension=look > 40)
        spent += weight
        capital = mixture.fold(capital, float(np.log(weight)), np.zeros((1, HARM_RATIOS.size)), cap=5.0)
        evidence = mixture.log_evidence(capital, HARM_LOG_PRIOR, np.zeros(1, np.int64), 1.0 - spent)
        assert evidence == pytest.approx(0.0, abs=1e-12)


def test_one_window_adds_at_most_the_cap() -> None:
    capital = mixture.fold(mixture.empty((1,), 2), 0.0, np.array([[100.0, 1.0]]), cap=4.6)
    assert capital[0, 0] == pytest.approx([4.6, 1.0])


def test_dispersions_are_rounded_up_to_the_ladder() -> None:
    rungs = mixture.rung_of(np.array([1.0, 1.0001, 1.25, 3.0, 40.0, 500.0]))
    assert PHI_LADDER[rungs].tolist() == [1.0, 1.25, 1.25, 5.0, 40.0, 40.0]


def test_between_counting_and_the_first_rung_evidence_is_interpolated_and_above_rounded_up() -> None:
    capital = np.log(np.exp(4.0 / PHI_LADDER))[None, :, None]
    phis = np.array([1.0, 1.1, 1.25, 1.26, 4.9, 80.0])
    at = [float(tempered(capital, np.zeros(1), np.array([phi]), 0.0)[0]) for phi in phis]
    assert at == pytest.approx([4.0, 4.0 / 1.1, 3.2, 2.5, 0.8, 0.05])


def noise(values: Any) -> Dispersion:
    state = Dispersion.start((1,))
    for value in values:
        state = state.add(np.array([value]), np.ones(1), np.ones(1), 6, np.ones(1, bool))
        state = state.remember(state.observed(np.ones(1), 1.0)[0], np.ones(1, bool))
    return state


def test_pure_counting_has_no_dispersion_and_noise_has() -> None:
    rng = np.random.default_rng(3)
    quiet, loud = rng.standard_normal(400), 2.0 * rng.standard_normal(400)
    slow = np.repeat(rng.standard_normal(40), 10) + rng.standard_normal(400)
    assert noise(quiet).lagged(COLD, np.ones(1))[0] < 1.25
    assert noise(loud).lagged(COLD, np.ones(1))[0] == pytest.approx(4.0, rel=0.3)
    assert noise(slow).lagged(COLD, np.ones(1))[0] > 5.0


def test_a_steady_effect_is_not_noise() -> None:
    rng = np.random.default_rng(4)
    assert noise(3.0 + rng.standard_normal(400)).lagged(COLD, np.ones(1))[0] < 1.3


def test_the_dispersion_lags_three_looks_behind() -> None:
    rng = np.random.default_rng(5)
    before = rng.standard_normal(50)
    calm = noise(before).lagged(COLD, np.ones(1))
    for later in range(1, 4):
        assert noise([*before, *[40.0] * later]).lagged(COLD, np.ones(1))[0] < 2.0, later
    assert noise([*before, *[40.0] * 4]).lagged(COLD, np.ones(1))[0] > calm[0] + 2


def test_a_missing_look_leaves_no_trace() -> None:
    state = noise([0.5, -1.0, 2.0])
    nothing = np.zeros(1)
    assert np.array_equal(state.add(nothing, nothing, nothing, 6, np.zeros(1, bool)).sums, state.sums)
    assert np.array_equal(state.remember(np.ones(1), np.zeros(1, bool)).recent, state.recent)


def test_history_scales_with_the_information_of_a_look() -> None:
    known = Prior(np.array([0.5]), np.ones(1, bool))
    assert known.phi(np.array([4.0])) == pytest.approx(1 + 1.25 * 0.5 * 4.0)
    assert COLD.phi(np.array([4.0])) == pytest.approx(1.5)


def test_the_interval_holds_the_truth_at_all_looks() -> None:
    rng = np.random.default_rng(6)
    runs, truth, missed = 150, 2.0, np.zeros(150, bool)
    total = np.zeros((runs, CURVE_RATIOS.size))
    odds = truth * 0.02 / 0.98
    for _ in range(60):
        n_c, n_b = np.full(runs, 300), np.full(runs, 1700)
        total += curve(rng.binomial(n_c, odds / (1 + odds)), n_c, rng.binomial(n_b, 0.02), n_b, CURVE_RATIOS)
        low, high = interval(total, np.ones(runs), 0.05)
        missed |= (low > truth) | (high < truth)
    assert missed.mean() <= 0.05
    assert np.median(estimate(total)) == pytest.approx(truth, rel=0.05)
    assert np.median(low) > 1.4
    assert np.median(high) < 2.9


def test_nothing_known_is_said_to_be_nothing() -> None:
    flat = np.zeros((1, CURVE_RATIOS.size))
    assert np.isnan(estimate(flat)).all()
    assert np.isnan(interval(flat, np.ones(1), 0.05)).all()


def test_swapping_the_arms_inverts_the_effect() -> None:
    counts = (np.array(40), np.array(2000), np.array(25), np.array(2500))
    ratio = estimate(curve(*counts, CURVE_RATIOS))
    swapped = estimate(curve(counts[2], counts[3], counts[0], counts[1], CURVE_RATIOS))
    assert np.log(ratio) == pytest.approx(-np.log(swapped), abs=0.02)
