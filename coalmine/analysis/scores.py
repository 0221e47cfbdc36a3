"""Rank scores of a histogram: all buckets at once, so that a shift inside one percentile's bucket is still seen.

Given the pooled bucket counts, the canary's are multivariate hypergeometric when the arms are alike. An exponential
tilt by monotone scores bets that the canary's share of the slow buckets is larger.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, ndtri

from coalmine.analysis.grids import Array, Numeric

_NEWTON_STEPS = 7
_CLOSE = 1e-7
_HIGHEST_SAVAGE = 12.0


def bucket_scores(pooled: Numeric) -> Array:
    """Normal (shift) and Savage (tail) scores of each bucket: the mean of the score function over the bucket's ranks.

    Args:
        pooled: counts per bucket of both arms, [..., B].

    Returns:
        [..., 2, B]: normal, Savage.
    """
    # A sliver in every bucket keeps empty ones defined; it moves the ranks by less than a thousandth of a request.
    counts = np.asarray(pooled, float) + 1e-3
    upper = np.cumsum(counts, axis=-1)
    upper /= upper[..., -1:]
    share = counts / counts.sum(axis=-1, keepdims=True)
    inner = np.clip(upper[..., :-1], 1e-12, 1.0 - 1e-12)
    zero = np.zeros_like(upper[..., :1])
    density = np.concatenate([zero, np.exp(-0.5 * ndtri(inner) ** 2) / np.sqrt(2.0 * np.pi), zero], axis=-1)
    normal = (density[..., :-1] - density[..., 1:]) / share
    tail = np.concatenate([zero + 1.0, 1.0 - inner, zero], axis=-1)
    # The antiderivative of -ln(1-u) is (1-u) ln(1-u) + u; its differences over buckets give the Savage scores + 1.
    safe = np.where(tail > 0, tail, 1.0)
    antiderivative = tail * np.log(safe) + (1.0 - tail)
    savage = np.minimum(np.diff(antiderivative, axis=-1) / share - 1.0, _HIGHEST_SAVAGE)
    return np.stack([normal, savage], axis=-2)


def tilt_increments(canary: Numeric, pooled: Numeric, scores: Array, tilts: Array) -> tuple[Array, Array, Array]:
    """Log-likelihood ratio of each tilt against none, conditional on the pooled buckets and the canary's requests.

    Args:
        canary: canary counts per bucket, [..., B].
        pooled: counts per bucket of both arms in the same window, [..., B].
        scores: [..., C, B].
        tilts: [K].

    Returns:
        increments [..., C, K]; the centred score sum [..., C]; its variance when the arms are alike [..., C]. All zero
        where an arm is empty.
    """
    x, m = np.asarray(canary, float)[..., None, :], np.asarray(pooled, float)[..., None, :]
    n_c, total = x.sum(axis=-1), m.sum(axis=-1)
    informative = (n_c > 0) & (n_c < total)
    share = np.where(informative, n_c / np.maximum(total, 1.0), 0.5)
    centred = scores - (m * scores).sum(axis=-1, keepdims=True) / np.maximum(total, 1.0)[..., None]
    score_sum = np.where(informative, (x * centred).sum(axis=-1), 0.0)
    variance = np.where(informative, (m * centred**2).sum(axis=-1) * share * (1.0 - share), 0.0)

    base = np.log(share / (1.0 - share))[..., None, None]
    tilted = base + tilts[:, None] * centred[..., None, :]
    weight, requests = m[..., None, :], n_c[..., None]
    shift = np.zeros(tilted.shape[:-1])
    for _ in range(_NEWTON_STEPS):
        p = expit(tilted + shift[..., None])
        excess = (weight * p).sum(axis=-1) - requests
        slope = (weight * p * (1.0 - p)).sum(axis=-1)
        move = np.clip(excess / np.maximum(slope, 1e-12), -2.0, 2.0)
        shift -= move
        if np.abs(move).max() < _CLOSE:
            break
    saddle = tilted + shift[..., None]
    p = expit(saddle)
    slope = (weight * p * (1.0 - p)).sum(axis=-1)
    log_moment = (weight * np.logaddexp(0.0, saddle)).sum(axis=-1) + total[..., None] * np.log1p(-share)[..., None]
    flat = np.maximum(total * share * (1.0 - share), 1e-9)[..., None]
    normaliser = log_moment - requests * shift - 0.5 * np.log(np.maximum(slope, 1e-9) / flat)
    increments = np.where(informative[..., None], tilts * score_sum[..., None] - normaliser, 0.0)
    return increments, score_sum, variance
