"""Rank scores of a histogram: all buckets at once, so that a shift inside one percentile's bucket is still seen.

Given the pooled bucket counts, the canary's are multivariate hypergeometric when the arms are alike. An exponential
tilt by monotone scores bets that the canary's share of the slow buckets is larger.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from coalmine.analysis.grids import Array, Numeric
from coalmine.analysis.mixture import log_add

_NEWTON_STEPS = 7
_CLOSE = 1e-4
"""The move that was made leaves its square, and the log moment is flat there."""
_BLOCK = 64
_WORTH_LEAVING_OUT = 64
"""So many that stopped are left out of further steps; fewer cost less than the copy."""
_HIGHEST_SAVAGE = 12.0
_ROOT_OF_TWO_PI = float(np.sqrt(2.0 * np.pi))
_LARGEST = 700.0
"""Its exponential is a double still."""


def bucket_scores(pooled: Numeric) -> Array:
    """Normal (shift) and Savage (tail) scores of each bucket: the mean of the score function over the bucket's ranks.

    Args:
        pooled: counts per bucket of both arms, [..., B].

    Returns:
        [..., 2, B]: normal, Savage.
    """
    # A sliver in every bucket keeps empty ones defined; it moves the ranks by less than a thousandth of a request.
    counts = np.asarray(pooled, float) + 1e-3
    upper = counts.cumsum(axis=-1)
    upper /= upper[..., -1:]
    share = counts / np.add.reduce(counts, axis=-1, keepdims=True)
    inner = np.minimum(np.maximum(upper[..., :-1], 1e-12), 1.0 - 1e-12)
    edges = (*counts.shape[:-1], counts.shape[-1] + 1)
    density = np.zeros(edges)
    density[..., 1:-1] = np.exp(-0.5 * ndtri(inner) ** 2) / _ROOT_OF_TWO_PI
    # The antiderivative of -ln(1-u) is (1-u) ln(1-u) + u; its differences over buckets give the Savage scores + 1.
    antiderivative = np.zeros(edges)
    tail = 1.0 - inner
    antiderivative[..., 1:-1], antiderivative[..., -1] = tail * np.log(tail) + (1.0 - tail), 1.0
    scores = np.empty((*counts.shape[:-1], 2, counts.shape[-1]))
    np.divide(density[..., :-1] - density[..., 1:], share, out=scores[..., 0, :])
    savage = (antiderivative[..., 1:] - antiderivative[..., :-1]) / share - 1.0
    np.minimum(savage, _HIGHEST_SAVAGE, out=scores[..., 1, :])
    return scores


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
    n_c, total = np.add.reduce(x, axis=-1), np.add.reduce(m, axis=-1)
    informative = (n_c > 0) & (n_c < total)
    some = np.maximum(total, 1.0)
    share = np.where(informative, n_c / some, 0.5)
    centred = scores - np.add.reduce(m * scores, axis=-1, keepdims=True) / some[..., None]
    score_sum = np.where(informative, np.add.reduce(x * centred, axis=-1), 0.0)
    variance = np.where(informative, np.add.reduce(m * centred**2, axis=-1) * share * (1.0 - share), 0.0)

    # Pooled counts, share and requests are the same for all scores of a window.
    buckets, number = centred.shape[-1], centred.shape[-2]
    rows = [values.reshape(-1).repeat(number) for values in (share, n_c)]
    weight = m.reshape(-1, buckets).repeat(number, axis=0).T
    saddles = _saddles(weight, centred.reshape(-1, buckets).T, rows[0], rows[1], tilts)
    shift, slope, log_moment = (values.reshape(*score_sum.shape, tilts.size) for values in saddles)
    log_moment += (total * np.log1p(-share))[..., None]
    flat = np.maximum(total * share * (1.0 - share), 1e-9)[..., None]
    normaliser = log_moment - n_c[..., None] * shift - 0.5 * np.log(np.maximum(slope, 1e-9) / flat)
    increments = np.where(informative[..., None], tilts * score_sum[..., None] - normaliser, 0.0)
    return increments, score_sum, variance


def _saddles(weight: Array, centred: Array, share: Array, requests: Array, tilts: Array) -> tuple[Array, Array, Array]:
    """Where the tilted canary expects the requests it had.

    Args:
        weight, centred: pooled counts and centred scores per bucket, [B, R].
        share, requests: the canary's, [R].
        tilts: [K].

    Returns:
        The shift of all log odds that brings that about; the variance there; the log moment; each [R, K].
    """
    found = tuple(np.empty((share.size, tilts.size)) for _ in range(3))
    log_odds = np.log(share / (1.0 - share))
    # Blocks stay in the processor's cache; sums over the first axis run over whole arrays at a time.
    for start in range(0, share.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        counts = weight[:, block].repeat(tilts.size, axis=1)
        tilted = (centred[:, block, None] * tilts).reshape(counts.shape)
        tilted += log_odds[block].repeat(tilts.size)
        shift = _shifts(counts, tilted, requests[block].repeat(tilts.size))
        tilted += shift
        slope = _tilted_sums(counts, tilted)[1]
        counts *= log_add(tilted, 0.0)
        for into, values in zip(found, (shift, slope, np.add.reduce(counts, axis=0)), strict=True):
            into[block] = values.reshape(-1, tilts.size)
    return found[0], found[1], found[2]


def _shifts(weight: Array, tilted: Array, requests: Array) -> Array:
    """Newton's method, [N], for counts and log odds [B, N]; each stops for itself, whatever it is computed with."""
    shift, moving = np.zeros(requests.size), np.ones(requests.size, bool)
    at: Any = slice(None)
    for _ in range(_NEWTON_STEPS):
        part, slope = _tilted_sums(weight, tilted + shift[at])
        move = np.minimum(np.maximum((part - requests) / np.maximum(slope, 1e-12), -2.0), 2.0)
        shift[at] -= np.where(moving, move, 0.0)
        moving &= np.abs(move) >= _CLOSE
        left = np.count_nonzero(moving)
        if not left:
            break
        if moving.size - left >= _WORTH_LEAVING_OUT:
            at = np.flatnonzero(moving) if isinstance(at, slice) else at[moving]
            requests, weight, tilted = requests[moving], weight[:, moving], tilted[:, moving]
            moving = np.ones(left, bool)
    return shift


def _tilted_sums(weight: Array, log_odds: Array) -> tuple[Array, Array]:
    """Sums over the buckets (first axis) of the expected canary requests, and of their variance."""
    # The logistic function, in half the time of ``scipy.special.expit``.
    p = np.negative(log_odds)
    np.exp(np.minimum(p, _LARGEST, out=p), out=p)
    p += 1.0
    np.reciprocal(p, out=p)
    expected = weight * p
    part: Array = np.add.reduce(expected, axis=0)
    np.subtract(1.0, p, out=p)
    expected *= p
    slope: Array = np.add.reduce(expected, axis=0)
    return part, slope
