"""How long noise lasts, against series whose long-run variance is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coalmine.analysis.correlation import long_run_factor
from tests.analysis.oracles import decay


def wandering(rho: float, share: float, looks: int, runs: int, seed: int) -> NDArray[Any]:
    """Noise of variance 1, ``share`` of it autoregressive, the rest counting: [T, S]."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((looks, runs))
    for look in range(1, looks):
        noise[look] = rho * noise[look - 1] + np.sqrt(1 - rho**2) * noise[look]
    mixed = np.sqrt(share) * noise + np.sqrt(1 - share) * rng.standard_normal((looks, runs))
    centred: NDArray[Any] = mixed - mixed.mean(axis=0)
    return centred


@pytest.mark.parametrize(("rho", "share"), [(0.5, 0.6), (0.8, 0.3), (0.8, 0.7), (0.9, 0.3)])
def test_the_median_is_the_long_run_variance_even_beneath_counting_noise(rho: float, share: float) -> None:
    found = long_run_factor(wandering(rho, share, 360, 300, seed=1), block=6)
    true = 1 + 2 * share * rho / (1 - rho)
    assert np.median(found) == pytest.approx(true, rel=0.2)
    assert np.quantile(found, 0.05) > 0.3 * true


def test_what_neighbours_show_alone_is_far_too_little() -> None:
    residuals = wandering(0.8, 0.3, 360, 300, seed=2)
    lag_1 = (residuals[1:] * residuals[:-1]).sum(axis=0) / (residuals**2).sum(axis=0)
    assert np.median((1 + lag_1) / (1 - lag_1)) < 0.6 * np.median(long_run_factor(residuals, block=6))


@pytest.mark.parametrize("looks", [60, 360])
def test_pure_counting_is_left_alone(looks: int) -> None:
    found = long_run_factor(wandering(0.5, 0.0, looks, 400, seed=3), block=6)
    assert (found >= 1.0).all()
    assert (found > 1.0).mean() <= 0.15
    assert found.mean() < 1.15


@pytest.mark.parametrize(("looks", "block"), [(40, 1), (60, 6), (200, 2), (360, 6)])
def test_it_is_the_best_decay(looks: int, block: int) -> None:
    residuals = wandering(0.8, 0.5, looks, 20, seed=looks)
    lags = min(max(3 * block, 6), looks // 4)
    expected = [decay(residuals[:, run], lags) for run in range(20)]
    assert long_run_factor(residuals, block) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("looks", [0, 1, 7, 8])
def test_too_few_looks_or_none_that_vary_say_nothing(looks: int) -> None:
    assert long_run_factor(np.zeros((looks, 2)), block=6).tolist() == [1.0, 1.0]
    assert (long_run_factor(np.ones((min(looks, 7), 1)), block=6) == 1.0).all()


def test_a_level_that_never_moves_is_held_at_the_slowest_decay() -> None:
    found = long_run_factor(np.repeat([1.0, -1.0], 180)[:, None], block=6)
    assert found[0] == pytest.approx(1 + 2 * 0.95 / 0.05, rel=0.1)
