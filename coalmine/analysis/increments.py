"""Log-likelihood ratios of one window: Fisher's noncentral hypergeometric for two arms, the binomial for one.

Given a window's totals (canary requests, baseline requests, events of both), the canary's events depend on the odds
ratio alone: the baseline's rate, and every shock both arms share, cancel.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from coalmine.analysis.grids import Array, Integers, Mask, Numeric

EXACT_SUPPORT = 64
"""Up to this many points the normaliser is summed exactly; beyond, by saddlepoint."""


def curve(
    canary_events: Numeric,
    canary: Numeric,
    baseline_events: Numeric,
    baseline: Numeric,
    ratios: Array,
    log_ratios: Array | None = None,
) -> Array:
    """Conditional log-likelihood of each odds ratio, up to a constant that does not depend on the ratio.

    ``curve(..)[.., i] - curve(..)[.., j]`` is the log-likelihood ratio of ``ratios[i]`` against ``ratios[j]``. It is
    zero everywhere when the window says nothing: no events, nothing but events, or an empty arm.

    Args:
        canary_events, canary, baseline_events, baseline: counts of any one shape [...].
        ratios: odds ratios, [K], or those of each channel, broadcast to [..., K].
        log_ratios: their logarithms, where they are known.

    Returns:
        [..., K], in nats.
    """
    events = np.asarray(canary_events, float) + np.asarray(baseline_events, float)
    canary, baseline = np.asarray(canary, float), np.asarray(baseline, float)
    normaliser = log_normaliser(canary, baseline, events, ratios)
    taken = np.where(_is_open(canary, baseline, events), np.asarray(canary_events, float), 0.0)
    result: Array = taken[..., None] * (np.log(ratios) if log_ratios is None else log_ratios)
    result -= normaliser
    return result


def _is_open(canary: Array, baseline: Array, events: Array) -> Mask:
    """The totals leave open whose events they were."""
    result: Mask = (events > 0) & (events < canary + baseline) & (canary > 0) & (baseline > 0)
    return result


def log_normaliser(canary: Array, baseline: Array, events: Array, ratios: Array) -> Array:
    """``ln sum_x C(canary, x) C(baseline, events - x) ratio^x``, up to a constant free of the ratio.

    0 where nothing but the totals is possible.

    Args:
        canary, baseline, events: whole numbers of one shape [...].
        ratios: [K], or broadcast to [..., K].

    Returns:
        [..., K].
    """
    if not canary.shape == baseline.shape == events.shape:
        canary, baseline, events = np.broadcast_arrays(canary, baseline, events)
    shape = events.shape
    n_c, n_b, e = (values.reshape(-1) for values in (canary, baseline, events))
    low, high = np.maximum(0.0, e - n_b), np.minimum(n_c, e)
    open_ = _is_open(n_c, n_b, e)
    exact = open_ & (high - low < EXACT_SUPPORT)
    kinds = ratios.reshape(-1, ratios.shape[-1])
    alike = len(kinds) == 1
    kind_of = np.zeros(0, int) if alike else np.broadcast_to(np.arange(len(kinds)).reshape(ratios.shape[:-1]), shape)
    result = np.zeros((n_c.size, kinds.shape[-1]))
    rows = exact.nonzero()[0]
    if rows.size:
        terms = _terms(n_c[rows], n_b[rows], e[rows], low[rows], high[rows])
        if alike:
            result[rows] = _summed(terms, low[rows], kinds[0].tobytes())
        else:
            distinct, number_of = _distinct(kinds)
            numbers = number_of[kind_of.reshape(-1)[rows]]
            for number, kind in enumerate(distinct):
                chosen = numbers == number
                of_kind = rows[chosen]
                result[of_kind] = _summed(terms[chosen], low[of_kind], kind)
    rest = (open_ & ~exact).nonzero()[0]
    if rest.size:
        ratio = kinds[0] if alike else kinds[kind_of.reshape(-1)[rest]]
        result[rest] = _saddlepoint(n_c[rest, None], n_b[rest, None], e[rest, None], ratio)
    return result.reshape(*shape, kinds.shape[-1])


def _distinct(kinds: Array) -> tuple[list[bytes], Integers]:
    """The bytes of the rows that differ, and which of them each row is."""
    found: dict[bytes, int] = {}
    numbers = [found.setdefault(kind.tobytes(), len(found)) for kind in kinds]
    return [*found], np.array(numbers)


def _terms(n_c: Array, n_b: Array, e: Array, low: Array, high: Array) -> Array:
    """``C(n_c, x) C(n_b, e - x)`` for x from ``low`` to ``high``, [R, X], up to a factor of each row; then zeros."""
    points = np.arange(np.maximum.reduce(high - low) + 1)
    n_c, n_b, e, low, high = (values[:, None] for values in (n_c, n_b, e, low, high))
    at = low + points
    x = np.minimum(at, high)[:, :-1]
    # Neighbouring terms differ by a factor that needs no factorials.
    rise = (n_c - x) * (e - x) / ((x + 1.0) * (n_b - e + x + 1.0))
    weight = np.zeros(at.shape)
    np.log(rise, out=weight[:, 1:], where=rise > 0)
    weight.cumsum(axis=1, out=weight)
    weight -= np.maximum.reduce(weight, axis=1, keepdims=True)
    return np.where(at <= high, np.exp(weight, out=weight), 0.0)


def _summed(terms: Array, low: Array, ratios: bytes) -> Array:
    """``ln sum_x`` of the terms times each ratio to the power of x, [R, K]."""
    if not low.size:
        return np.zeros((0, len(ratios) // 8))
    powers, logarithms = _powers(ratios)
    total = terms @ powers[: terms.shape[1]]
    result: Array = np.log(total, out=total) + low[:, None] * logarithms
    return result


@lru_cache(maxsize=64)
def _powers(ratios: bytes) -> tuple[Array, Array]:
    """Each ratio to the powers 0, 1, ... of a support, [64, K], and their logarithms."""
    # Ratios stay below 1e4 and points below 64, so the powers stay within a double; each sum holds a term >= ratio^63.
    logarithms: Array = np.log(np.frombuffer(ratios))
    return np.exp(np.arange(EXACT_SUPPORT)[:, None] * logarithms), logarithms


def _saddlepoint(n_c: Array, n_b: Array, e: Array, ratio: Array) -> Array:
    """Coefficient of s^e in (1 + ratio s)^n_c (1 + s)^n_b, by saddlepoint with its second-order term."""
    # The saddle solves n_c rs/(1+rs) + n_b s/(1+s) = e, a quadratic in s; the root is taken without cancellation.
    a = ratio * (n_c + n_b - e)
    b = ratio * n_c + n_b - e * (1.0 + ratio)
    root = np.sqrt(b * b + 4.0 * a * e)
    s = np.where(b > 0, 2.0 * e / (b + root), (root - b) / (2.0 * a))
    p, q = ratio * s / (1.0 + ratio * s), s / (1.0 + s)
    second_c, second_b = n_c * p * (1.0 - p), n_b * q * (1.0 - q)
    second = second_c + second_b
    third = second_c * (1.0 - 2.0 * p) + second_b * (1.0 - 2.0 * q)
    fourth = second_c * (1.0 - 6.0 * p * (1.0 - p)) + second_b * (1.0 - 6.0 * q * (1.0 - q))
    correction = fourth / (8.0 * second**2) - 5.0 * third**2 / (24.0 * second**3)
    first_order = n_c * np.log1p(ratio * s) + n_b * np.log1p(s) - e * np.log(s) - 0.5 * np.log(second)
    result: Array = first_order + np.minimum(np.maximum(correction, -0.2), 0.2)
    return result


def one_sample(events: Numeric, total: Numeric, null_share: float | Array, odds_ratios: Array) -> Array:
    """Log-likelihood ratio of a level with ``odds_ratios`` times the odds of ``null_share``, against ``null_share``.

    With ratios above 1 it is evidence against "level <= null_share"; with ratios below 1 against "level >= null_share".

    Args:
        events, total: counts, [...].
        null_share: strictly between 0 and 1; one for all, or broadcast to [...].
        odds_ratios: [K].

    Returns:
        [..., K], 0 where ``total`` is 0.
    """
    x, n = np.asarray(events, float)[..., None], np.asarray(total, float)[..., None]
    if isinstance(null_share, float):
        gained, lost = _of_one_share(null_share, odds_ratios.tobytes())
    else:
        gained, lost = _per_event_and_request(np.asarray(null_share, float), odds_ratios)
    result: Array = x * gained - n * lost
    return result


def _per_event_and_request(null_share: Array, odds_ratios: Array) -> tuple[Array, Array]:
    """What ``one_sample`` gains by an event, [K], and loses by a request, [..., K]."""
    null = null_share[..., None]
    odds = null / (1.0 - null) * odds_ratios
    return np.log(odds_ratios), np.log1p(odds) + np.log1p(-null)


@lru_cache(maxsize=64)
def _of_one_share(null_share: float, odds_ratios: bytes) -> tuple[Array, Array]:
    return _per_event_and_request(np.asarray(null_share), np.frombuffer(odds_ratios))
