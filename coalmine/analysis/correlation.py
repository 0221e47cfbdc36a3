"""How much longer noise lasts than a look: by what its variance over many looks exceeds that of looks on their own.

A look counts few events, so most of what its residual varies by is counting, which hides how strongly the noise beneath
hangs together: the correlation of neighbouring looks is small while that of the noise itself is close to 1. A decay
``a x^k`` fitted to the correlations of many lags separates the two (an autoregression seen through counting noise, an
ARMA(1,1); Box and Jenkins), and its sum is what blocks of looks would show only if they were very long.
"""

from __future__ import annotations

import numpy as np

from coalmine.analysis.grids import Array

MINUTES = 3
"""Correlations are taken up to so many minutes apart."""
_FEWEST_LAGS = 6
_DECAYS: Array = np.linspace(0.1, 0.95, 18)
"""Correlation of the noise from look to look."""
_SURE = 4.0
"""Square of the standard errors a decay must explain: what is less is chance, and noise is taken look by look."""


def long_run_factor(residuals: Array, block: int) -> Array:
    """Long-run variance over that of single looks, at least 1.

    Args:
        residuals: of all looks, centred, [T, ...].
        block: looks per minute, at least 1.

    Returns:
        [...]; 1 where no correlation is seen, or where there are too few looks (under 8) to see one.
    """
    looks = residuals.shape[0]
    lags = min(max(MINUTES * block, _FEWEST_LAGS), looks // 4)
    squares = (residuals**2).sum(axis=0)
    if lags < 2:
        return np.ones(squares.shape)
    by_lag = [(residuals[lag:] * residuals[:-lag]).sum(axis=0) for lag in range(1, lags + 1)]
    correlations = np.stack(by_lag, axis=-1) / np.where(squares > 0, squares, 1.0)[..., None]
    shapes = _DECAYS[:, None] ** np.arange(1, lags + 1)
    sizes = (shapes**2).sum(axis=-1)
    along = np.maximum(correlations @ shapes.T, 0.0)
    explained = along**2 / sizes
    best = explained.argmax(axis=-1)[..., None]
    height = np.clip(np.take_along_axis(along / sizes, best, axis=-1)[..., 0], 0.0, 1.0)
    decay = _DECAYS[best[..., 0]]
    sure = looks * np.take_along_axis(explained, best, axis=-1)[..., 0] > _SURE
    result: Array = np.where(sure, 1.0 + 2.0 * height * decay / (1.0 - decay), 1.0)
    return result
