"""Residuals, levels and tempering, by hand; the whole of it is in ``test_ratio_oracle``."""

from __future__ import annotations

import numpy as np
import pytest

from coalmine.analysis import grids, mixture
from coalmine.analysis.channels import Counts, NoHarm, Pace, Shares, level, residuals, scale
from coalmine.analysis.dispersion import Prior
from coalmine.analysis.tempering import log_evidence, tempered

LADDER = grids.PHI_LADDER


def counts(x_c: float, n_c: float, x_b: float, n_b: float) -> Counts:
    return Counts(*(np.array([value]) for value in (n_c, x_c, n_b, x_b)))


def test_residuals_are_about_the_margin() -> None:
    found = residuals(counts(5, 100, 15, 300), margin=2.0)
    # The canary has 200 of 500 weighted requests: 8 of the 20 events are expected.
    assert found.expected == pytest.approx(8.0)
    assert found.t == pytest.approx(-3.0)
    assert found.v == pytest.approx(20 * 0.4 * 0.6 * (1 - 20 / 400))
    assert found.unit == pytest.approx(400 * 0.4 * 0.6)


def test_residuals_of_the_extremes() -> None:
    for empty in (residuals(counts(0, 0, 0, 0), 1.1), residuals(counts(0, 0, 3, 50), 1.1)):
        assert [float(value[0]) for value in (empty.expected, empty.t, empty.v, empty.unit)] == [0.0] * 4
    # When all are events, counting leaves no spread: at least a fiftieth of it is kept.
    everything = residuals(counts(100, 100, 100, 100), 1.0)
    assert everything.v == pytest.approx(200 * 0.25 * 0.02)
    assert residuals(counts(0.2, 0.4, 0.1, 0.5), 1.0).expected == pytest.approx(0.4 * 0.3)


def test_the_level_is_the_baselines() -> None:
    assert level(counts(7, 9, 4, 99)) == pytest.approx(0.045 * 0.955)
    assert level(counts(7, 9, 0, 0)) == pytest.approx(0.25)


def test_the_scale_is_true_over_assumed_variance() -> None:
    totals = counts(9, 100, 10, 300)
    assert scale(totals, np.array([4.75])) == pytest.approx(0.475 * 0.525 / (0.25 * 0.75))
    # One event, and it is in the canary: three quarters are seen of the half that is expected.
    assert scale(counts(1, 100, 0, 100), np.array([0.5])) == pytest.approx(0.75 * 0.25 / 0.25)
    assert scale(counts(0, 100, 0, 300), np.zeros(1)) == pytest.approx(20.0)
    assert scale(counts(1000, 2000, 0, 300), np.array([500.0])) == pytest.approx(0.05)
    assert scale(counts(50, 100, 50, 300), np.array([1e-5])) == pytest.approx(20.0)


def test_missing_looks_are_zero() -> None:
    look = Counts(*(np.array([one, one]) for one in (4.0, 3.0, 2.0, 1.0))).where(np.array([True, False]))
    assert [values.tolist() for values in (look.canary, look.canary_events, look.baseline, look.baseline_events)] == [
        [4.0, 0.0],
        [3.0, 0.0],
        [2.0, 0.0],
        [1.0, 0.0],
    ]


def test_pace() -> None:
    assert Pace(0.5, 1.0, 6).log_weight == pytest.approx(np.log(0.5))
    assert Pace(0.0, 1.0, 6).log_weight == -np.inf


@pytest.mark.parametrize(
    ("phi", "expected"),
    [
        (0.9, 4.0),
        (1.0, 4.0),
        (1.1, 3.2 + (1 / 1.1 - 0.8) / 0.2 * 0.8),
        (1.2499, 3.2 + (1 / 1.2499 - 0.8) / 0.2 * 0.8),
        (1.25, 3.2),
        (1.26, 2.5),
        (12.0, 4 / 12),
        (40.0, 0.1),
        (60.0, 0.1 / 1.5),
    ],
)
def test_tempering_by_the_ladder(phi: float, expected: float) -> None:
    capital = (4.0 / LADDER)[None, :, None]
    assert tempered(capital, np.zeros(1), np.array([phi]), 0.0) == pytest.approx(expected)


def test_evidence_against_a_bet_is_not_tempered_beyond_the_ladder() -> None:
    capital = np.full((1, 7, 1), -3.0)
    assert tempered(capital, np.zeros(1), np.array([400.0]), 0.0) == pytest.approx(-3.0)
    both = np.stack([np.full((7, 1), -3.0), np.full((7, 1), 3.0)])
    assert tempered(both, np.zeros(1), np.array([80.0, 80.0]), 0.0) == pytest.approx([-3.0, 1.5])
    mixed = np.stack([(4.0 / LADDER)[:, None], (4.0 / LADDER)[:, None]])
    assert tempered(mixed, np.zeros(1), np.array([1.1, 12.0]), 0.0) == pytest.approx([4 / 1.1, 4 / 12], rel=1e-3)


def test_what_is_not_rounded_gets_a_reserve_and_is_interpolated_between_all_rungs() -> None:
    capital = np.broadcast_to((4.0 / LADDER)[:, None], (6, 7, 1))
    phis = np.array([1.0, 1.1, 1.3, 7.0, 28.0, 80.0])
    expected = 4.0 / np.array([1.0, 1.14, 1.42, 8.40206, 32.01804, 88.5192])
    assert tempered(capital, np.zeros(1), phis, 0.0, rounded=False) == pytest.approx(expected)
    against = np.broadcast_to((-4.0 / LADDER)[:, None], (2, 7, 1))
    found = tempered(against, np.zeros(1), np.array([7.0, 80.0]), 0.0, rounded=False)
    assert found == pytest.approx([-4 / 8.40206, -0.1])


def test_no_harm_is_the_weighted_mean_of_both_ways_to_show_it() -> None:
    even = np.full(14, -np.log(14.0))
    for relative, absolute in ((3.0, 1.0), (1.0, 3.0)):
        state = NoHarm(np.full((1, 7, 14), relative), np.full((1, 7, 14), absolute))
        evidence = state.log_evidence(*log_evidence(state.bets(np.ones(1), even), 0.0))
        assert evidence == pytest.approx(np.log(0.8 * np.exp(relative) + 0.2 * np.exp(absolute)))
    start = NoHarm.start((2, 1))
    assert start.relative.shape == start.absolute.shape == (2, 1, 7, 14)
    found = log_evidence(start.bets(np.ones((2, 1)), even), 1.0)
    assert start.log_evidence(*found) == pytest.approx(np.zeros((2, 1)))


def test_each_metric_of_a_panel_bets_about_no_change_from_its_own_margin() -> None:
    margins = np.array([[1.5], [4.0]])
    rng = np.random.default_rng(1)
    state = NoHarm(rng.normal(size=(3, 2, 1, 7, 14)), rng.normal(size=(3, 2, 1, 7, 14)))
    prior, phi = grids.no_harm_log_prior(margins), rng.uniform(1.0, 9.0, (3, 2, 1))
    together = state.log_evidence(*log_evidence(state.bets(phi, prior), 0.2))
    for at in range(2):
        alone = NoHarm(state.relative[:, at], state.absolute[:, at])
        found = log_evidence(alone.bets(phi[:, at], prior[at]), 0.2)
        assert together[:, at] == pytest.approx(alone.log_evidence(*found))


def test_one_window_adds_little_to_the_proof_of_no_harm() -> None:
    counts = Counts(*(np.array([value]) for value in (1000.0, 5.0, 1000.0, 100.0)))
    likelihood = np.zeros((1, 15))
    likelihood[:, :-1] = 9.0
    after = NoHarm.start((1,)).fold(counts, likelihood, Pace(1.0, 4.6, 6, proof_cap=1.2))
    assert after.relative == pytest.approx(np.minimum(9.0 / LADDER, 1.2)[None, :, None] + np.zeros(14))
    assert NoHarm.start((1,)).fold(counts, likelihood, Pace(1.0, 4.6, 6)).relative.max() == pytest.approx(4.6)


def test_nothing_seen_is_nothing_known() -> None:
    state = Shares.start((2, 3))
    assert np.isnan(state.estimate()).all()
    assert state.totals.canary.shape == (2, 3)
    prior = Prior(np.array([0.5, 0.1, 0.2]), np.array([True, False, True]))
    assert state.phi(prior) == pytest.approx(np.broadcast_to([1.0, 1.5, 1.0], (2, 3)))
    low, high = state.bounds(state.phi(prior), 0.01)
    assert np.isnan(low).all()
    assert np.isnan(high).all()
    assert state.relative.shape == (2, 3, 7, grids.HARM_RATIOS.size)
    assert state.floor.shape == (2, 3, 7, grids.FLOOR_RATIOS.size)
    assert (mixture.log_sum(state.relative) == -np.inf).all()
