"""Time-uniform bounds for means of what has no distribution to lean on: asymptotic confidence sequences.

Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences" (2024): a normal mixture over the mean, valid at every look together once the central limit holds. The
variance is the long-run variance, so that autocorrelated observations do not count as many.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr

from coalmine.analysis.grids import Array

SPREAD = 0.5
"""rho squared of the mixture: bounds are tightest where the mean is about 0.7 standard deviations of one block."""
HIGHEST_RHO = 0.95
CAUTION = 0.5
"""Standard errors the autocorrelation is taken above its estimate: a dozen blocks say little about it."""
FEWEST_FREEDOM = 2.0


def normal_score(t: Array, freedom: Array) -> Array:
    """Student's t as the normal score of the same tail (Wallace, 1959): the variance is estimated, not known.

    Args:
        t: statistics, [...].
        freedom: degrees of freedom, [...], at least 1.
    """
    shrink = (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0)
    score: Array = np.sign(t) * shrink * np.sqrt(freedom * np.log1p(t * t / freedom))
    return score


def student(score: Array, freedom: Array) -> Array:
    """The inverse of ``normal_score``."""
    shrink = (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0)
    result: Array = np.sign(score) * np.sqrt(freedom * np.expm1((score / shrink) ** 2 / freedom))
    return result


def log_evidence(score: Array, blocks: Array) -> Array:
    """``ln E`` against "the mean is at most zero": a half-normal mixture over positive means.

    Args:
        score: sum over its standard deviation, [...].
        blocks: how many observations it sums, [...].
    """
    gain = blocks * SPREAD
    part = gain / (1.0 + gain)
    result: Array = np.log(2.0) - 0.5 * np.log1p(gain) + 0.5 * part * score**2 + log_ndtr(score * np.sqrt(part))
    return result


def widest_score(blocks: Array, alpha: float) -> Array:
    """The largest score, either way, that the mixture does not reject at ``alpha`` after this many observations."""
    gain = blocks * SPREAD
    result: Array = np.sqrt(2.0 * (1.0 + gain) / gain * np.log(np.sqrt(1.0 + gain) / alpha))
    return result


def long_run(spread: Array, lagged: Array, blocks: Array, fitted: Array) -> tuple[Array, Array]:
    """Long-run variance of one observation, and the degrees of freedom it was estimated with.

    First-order autocorrelation, its bias from fitting the mean (Kendall, 1954) put back, multiplies the variance by
    (1 + rho) / (1 - rho) and leaves that many fewer independent observations.

    Args:
        spread: sum of squares about the fitted means, [...].
        lagged: sum of products of neighbours about them, [...].
        blocks: observations, [...].
        fitted: means fitted, [...].
    """
    free = np.maximum(blocks - fitted, 1.0)
    raw = np.where(spread > 0, lagged / np.where(spread > 0, spread, 1.0), 0.0)
    bias = fitted * (1.0 + 3.0 * np.maximum(raw, 0.0)) / np.maximum(blocks, 1.0)
    cautious = raw + bias + CAUTION / np.sqrt(np.maximum(blocks, 1.0))
    rho = np.minimum(np.maximum(cautious, 0.0), HIGHEST_RHO)
    longer = (1.0 + rho) / (1.0 - rho)
    return spread / free * longer, np.maximum(free / longer, FEWEST_FREEDOM)
