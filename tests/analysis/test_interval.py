"""Estimate and interval against the curves they are read from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.special import logsumexp

from coalmine.analysis import interval as of_interval
from coalmine.analysis.grids import CURVE_RATIOS, Array
from coalmine.analysis.increments import curve
from coalmine.analysis.interval import estimate, interval

LOG = np.log(CURVE_RATIOS)
STEP = LOG[1] - LOG[0]
ONE = np.ones(1)


def parabola(peak: float, width: float) -> Array:
    result: Array = -0.5 * ((LOG - np.log(peak)) / width)[None, :] ** 2
    return result


@pytest.mark.parametrize("peak", [0.04, 0.5, 1.0, 1.17, 7.3, 300.0])
def test_the_peak_of_a_parabola_is_found_between_the_grid_points(peak: float) -> None:
    assert estimate(parabola(peak, 0.5)) == pytest.approx(peak)
    assert estimate(parabola(peak, 0.5) + 7.0) == pytest.approx(peak)


def test_a_peak_beyond_the_grid_is_its_end() -> None:
    assert estimate(parabola(1e-4, 1.0)) == pytest.approx(CURVE_RATIOS[0])
    assert estimate(parabola(1e5, 1.0)) == pytest.approx(CURVE_RATIOS[-1])
    # A straight line bends nowhere: there is no peak to move to.
    rising = np.arange(41.0)[None, :]
    assert estimate(rising) == pytest.approx(CURVE_RATIOS[-2])
    assert estimate(-rising) == pytest.approx(CURVE_RATIOS[1])


@pytest.mark.parametrize(("phi", "alpha", "width"), [(1.0, 0.05, 0.4), (2.5, 0.01, 0.3), (1.25, 0.001, 0.2)])
def test_the_ends_are_where_the_mixture_rejects(phi: float, alpha: float, width: float) -> None:
    low, high = interval(parabola(2.0, width) + 3.0, np.array([phi]), alpha)
    # The mixture over all ratios, as an integral: the curve is known between its points too.
    whole = width * np.sqrt(2 * np.pi * phi) / (LOG[-1] - LOG[0])
    for end in (low, high):
        against = np.log(whole) + 0.5 * (np.log(end / 2.0) / width) ** 2 / phi
        assert against == pytest.approx(np.log(1 / alpha), rel=5e-3)
    assert low < 2.0 < high


@pytest.mark.parametrize("requests", [1e4, 1e6, 1e7])
@pytest.mark.parametrize("truth", [1.0, 1.13, 2.0])
def test_however_far_apart_the_kept_points_are_the_ends_are_those_of_the_likelihood(
    requests: float, truth: float
) -> None:
    """Kept points 0.23 apart, an interval of a hundredth: read by straight lines it would leave the truth out."""
    share, odds = 0.03, truth * 0.03 / 0.97
    n = requests / 2
    x_c, n_c, x_b, n_b = (np.array([value]) for value in (round(n * odds / (1 + odds)), n, round(n * share), n))
    low, high = interval(curve(x_c, n_c, x_b, n_b, CURVE_RATIOS), ONE, 0.01)
    fine = np.exp(np.linspace(LOG[0], LOG[-1], 200_001))
    exact = curve(x_c, n_c, x_b, n_b, fine)[0]
    against = logsumexp(exact) - np.log(fine.size) - exact
    inside = fine[against < np.log(100)]
    assert low[0] < x_c[0] * (n - x_b[0]) / (x_b[0] * (n - x_c[0])) < high[0]
    assert (np.log(low[0]), np.log(high[0])) == pytest.approx(
        (np.log(inside[0]), np.log(inside[-1])), abs=0.05 * np.log(inside[-1] / inside[0])
    )


@pytest.mark.parametrize(("first", "last"), [(0, 40), (7, 31), (0, 1), (12, 12)])
def test_between_the_kept_points_the_curve_is_a_spline(first: int, last: int) -> None:
    curves = np.random.default_rng(3).normal(size=(3, 41)).cumsum(axis=1)
    for row, refined in zip(curves, of_interval._refined(curves, first, last), strict=True):
        # The slopes at the ends are those of the parabola through the three points there.
        ends = [np.gradient(row, edge_order=2)[place] for place in (0, -1)]
        spline = CubicSpline(np.arange(41.0), row, bc_type=((1, ends[0]), (1, ends[1])))
        assert refined == pytest.approx(spline(np.linspace(first, last, 32 * (last - first) + 1)), abs=1e-9)


def test_the_curves_of_many_metrics_are_refined_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy's libraries share larger products among threads, for which a look then waits where cores are busy."""
    sizes: list[int] = []

    class Seen:
        __array_ufunc__ = None
        """So that numpy leaves the product to us."""

        def __init__(self, values: Array) -> None:
            self.values = values

        def __rmatmul__(self, other: Array) -> Array:
            sizes.append(other.size * self.values.shape[1])
            return other @ self.values

    for name in ("_SLOPES", "_PIECE"):
        monkeypatch.setattr(of_interval, name, Seen(getattr(of_interval, name)))
    interval(np.repeat(parabola(2.0, 5.0), 40, axis=0), np.ones(40), 0.01)
    assert len(sizes) == 2
    assert max(sizes) < 2**18


def test_a_side_that_is_never_rejected_has_no_bound() -> None:
    low, high = interval(LOG[None, :] * 5.0, ONE, 0.05)
    assert high == pytest.approx(400.0)
    assert 1 < low < 400
    low, high = interval(LOG[None, :] * -5.0, ONE, 0.05)
    assert low == pytest.approx(1 / 30)
    assert 1 / 30 < high < 1
    low, high = interval(LOG[None, :] * 0.1, ONE, 0.05)
    assert (float(low[0]), float(high[0])) == pytest.approx((1 / 30, 400.0))


def test_runs_are_read_each_by_itself() -> None:
    curves = np.concatenate([parabola(0.5, 0.3), np.zeros((1, 41)), parabola(4.0, 0.6)])
    phi = np.array([1.0, 1.0, 2.0])
    low, high = interval(curves, phi, 0.01)
    assert np.isnan([estimate(curves)[1], low[1], high[1]]).all()
    for run in (0, 2):
        alone = interval(curves[run : run + 1], phi[run : run + 1], 0.01)
        assert (low[run], high[run]) == pytest.approx((alone[0][0], alone[1][0]))
        assert estimate(curves)[run] == pytest.approx(estimate(curves[run : run + 1])[0])
    deep = interval(curves.reshape(3, 1, 41), phi[:, None], 0.01)
    assert deep[0].shape == (3, 1)
    assert deep[0][2, 0] == pytest.approx(low[2])


def test_a_sharp_curve_has_a_narrow_interval() -> None:
    low, high = interval(parabola(CURVE_RATIOS[20], 0.02), ONE, 0.05)
    assert LOG[20] - STEP < np.log(low[0]) < LOG[20] < np.log(high[0]) < LOG[20] + STEP


@pytest.mark.parametrize("canary_share", [0.01, 0.05, 0.5])
@pytest.mark.parametrize("truth", [0.4, 1.0, 1.1, 1.3, 30.0])
@pytest.mark.parametrize("canary_events", [1e6, 1e9, 1e12])
def test_whatever_the_number_of_requests_the_truth_is_inside(
    canary_share: float, truth: float, canary_events: float
) -> None:
    """The interval becomes narrower than the likelihood can be read from the kept points."""
    share, odds = 0.05, truth * 0.05 / 0.95
    n_c = np.array([canary_events * (1 + odds) / odds])
    n_b = n_c * (1 - canary_share) / canary_share
    low, high = interval(curve(np.array([canary_events]), n_c, n_b * share, n_b, CURVE_RATIOS), ONE, 0.01)
    assert low < truth < high
    assert high / low < 1.05
