"""Rank scores of a histogram: all buckets at once, so that a shift inside one percentile's bucket is still seen.

Given the pooled bucket counts, the canary's are multivariate hypergeometric when the arms are alike. An exponential
tilt by monotone scores bets that the canary's share of the slow buckets is larger.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from coalmine.analysis.grids import Array, Numeric
from coalmine.analysis.mixture import log_add

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

    # Buckets come first from here on: sums over the first axis run over whole arrays at a time.
    weight = np.moveaxis(m, -1, 0)[..., None]
    tilted = np.moveaxis(centred, -1, 0)[..., None] * tilts
    tilted += np.log(share / (1.0 - share))[..., None]
    requests = n_c[..., None]
    shift = np.zeros(tilted.shape[1:])
    moving = np.ones(shift.shape, bool)
    for _ in range(_NEWTON_STEPS):
        part, slope = _tilted_sums(weight, tilted + shift)
        move = np.clip((part - requests) / np.maximum(slope, 1e-12), -2.0, 2.0)
        # Each stops for itself, so that no run depends on those it is computed with.
        shift -= np.where(moving, move, 0.0)
        moving &= np.abs(move) >= _CLOSE
        if not moving.any():
            break
    saddle = tilted + shift
    _, slope = _tilted_sums(weight, saddle)
    log_moment = (weight * log_add(saddle, 0.0)).sum(axis=0) + (total * np.log1p(-share))[..., None]
    flat = np.maximum(total * share * (1.0 - share), 1e-9)[..., None]
    normaliser = log_moment - requests * shift - 0.5 * np.log(np.maximum(slope, 1e-9) / flat)
    increments = np.where(informative[..., None], tilts * score_sum[..., None] - normaliser, 0.0)
    return increments, score_sum, variance


def _tilted_sums(weight: Array, log_odds: Array) -> tuple[Array, Array]:
    """Sums over the buckets (first axis) of the expected canary requests, and of their variance."""
    p = np.negative(log_odds)
    np.minimum(p, 700.0, out=p)  # An empty bucket's score may be so extreme that exp would overflow.
    np.exp(p, out=p)
    p += 1.0
    np.reciprocal(p, out=p)
    expected = weight * p
    part = expected.sum(axis=0)
    np.subtract(1.0, p, out=p)
    expected *= p
    return part, expected.sum(axis=0)
