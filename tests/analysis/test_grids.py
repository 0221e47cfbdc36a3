"""The grids as the method is published: their ends, their sizes, and priors that spend exactly one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from coalmine.analysis import grids


@pytest.mark.parametrize(
    ("grid", "first", "last", "size"),
    [
        (grids.HARM_RATIOS, 1.15, 400.0, 22),
        (grids.FLOOR_RATIOS, 1.5, 30.0, 6),
        (grids.NO_HARM_RATIOS, 1 / 1.1, 1 / 8.0, 14),
        (grids.TILTS, 0.03, 3.0, 14),
        (grids.CURVE_RATIOS, 1 / 30, 400.0, 41),
    ],
)
def test_grids_are_evenly_spaced_in_the_logarithm(grid: grids.Array, first: float, last: float, size: int) -> None:
    assert grid.size == size
    assert grid[[0, -1]] == pytest.approx([first, last])
    assert np.diff(np.log(grid)) == pytest.approx(np.log(last / first) / (size - 1))


@pytest.mark.parametrize(
    ("grid", "log_prior", "power"),
    [
        (grids.HARM_RATIOS, grids.HARM_LOG_PRIOR, -0.5),
        (grids.FLOOR_RATIOS, grids.FLOOR_LOG_PRIOR, 0.0),
        (grids.NO_HARM_RATIOS, grids.NO_HARM_LOG_PRIOR, 0.0),
        (grids.NO_HARM_RATIOS, grids.BELOW_LOG_PRIOR, -1.0),
        (grids.TILTS, grids.TILT_LOG_PRIOR, 0.0),
        (grids.CRASH_LEVELS, grids.CRASH_LEVEL_LOG_PRIOR, 0.0),
    ],
)
def test_priors_spend_exactly_one(grid: grids.Array, log_prior: grids.Array, power: float) -> None:
    assert log_prior.shape == grid.shape
    assert np.exp(log_prior).sum() == pytest.approx(1.0, abs=1e-12)
    assert log_prior - log_prior[0] == pytest.approx(power * np.log(grid / grid[0]), abs=1e-12)


@pytest.mark.parametrize("margin", [1.0001, 1.1, 1.5, 2.0, 10.0, 1e6])
def test_the_proof_of_no_harm_bets_about_no_change(margin: float) -> None:
    prior = np.exp(grids.no_harm_log_prior(np.array([[margin], [margin]])))
    assert prior.shape == (2, 1, 14)
    assert prior.sum(axis=-1) == pytest.approx(1.0, abs=1e-12)
    assert prior.min() >= 0.1 / 14 - 1e-12
    nearest = np.abs(np.log(margin * grids.NO_HARM_RATIOS)).argmin()
    assert (prior.argmax(axis=-1) == nearest).all()
    near = norm.pdf(np.log(1.5 * grids.NO_HARM_RATIOS), scale=0.2)
    expected = near / near.sum() * 0.9 + 0.1 / 14
    assert np.exp(grids.no_harm_log_prior(np.array(1.5))) == pytest.approx(expected)


def test_the_parts_of_the_proof_of_no_harm_are_one() -> None:
    assert np.exp(grids.RELATIVE_LOG_SHARE) + np.exp(grids.BELOW_LOG_SHARE) == pytest.approx(1.0)
    assert np.exp(grids.RELATIVE_LOG_SHARE) == pytest.approx(0.8)


def test_the_constants_of_the_method() -> None:
    assert grids.PHI_LADDER.tolist() == [1.0, 1.25, 1.6, 2.5, 5.0, 12.0, 40.0]
    assert grids.CRASH_LEVELS.tolist() == [0.75, 0.95]
    assert (grids.CRASH_SHARE, grids.CRASH_RATIO, grids.NO_HARM_SHARE) == (0.5, 2.0, 0.005)
    assert (grids.MIN_EVENTS, grids.MIN_HISTORY_LOOKS, grids.LAG) == (5, 60, 3)
