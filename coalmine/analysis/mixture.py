"""Start-time mixtures: capital per alternative and dispersion, invested bit by bit so that late faults are seen too.

``M_t(r) = (M_{t-1}(r) + w_t) exp(min(l_t(r) / phi, cap))`` and ``E_t = sum_j p_j M_t(r_j) + cash not yet invested``.
"""

from __future__ import annotations

from math import log

import numpy as np

from coalmine.analysis.grids import PHI_LADDER, Array, Integers

FIRST_SHARE = 0.75
"""Cash the first look invests."""
STEP_SHARE = 0.5
"""Part of the cash left that the first look of a later step invests."""
RESERVE = 0.25
"""Looks beyond the plan for which cash is kept, as a part of the planned looks."""
_LOWEST, _SMALLEST = float(-np.finfo(float).max), float(np.finfo(float).tiny)
_COLUMN: Array = PHI_LADDER[:, None]


def invest(spent: float, look: int, planned: int, *, new_step: bool, extension: bool) -> float:
    """Cash to invest at this look; the sum over all looks never exceeds 1.

    Args:
        spent: cash invested so far, 0-1.
        look: number of this look, from 1.
        planned: looks the plan has, at least 1.
        new_step: this is the first look of a later step.
        extension: this look is beyond the plan: it draws on what is left, evenly over another plan's length.
    """
    left = max(0.0, 1.0 - spent)
    if look == 1:
        return FIRST_SHARE * left
    if new_step:
        return STEP_SHARE * left
    remaining = planned if extension else max(planned - look + 1, 1) + max(1.0, RESERVE * planned)
    return left / (remaining + 1.0 if extension else remaining)


def fold(log_capital: Array, log_weight: float, increments: Array, cap: float) -> Array:
    """Invest, then multiply by the tempered and capped likelihood ratios.

    Args:
        log_capital: [..., P, K], P dispersions by K alternatives.
        log_weight: ln of the cash invested at this look; -inf for none.
        increments: [..., K].
        cap: most nats one window may add.
    """
    tempered = increments[..., None, :] / _COLUMN
    result = log_add(log_capital, log_weight)
    result += np.minimum(tempered, cap, out=tempered)
    return result


def log_add(values: Array, log_weight: float) -> Array:
    """``ln(exp(values) + exp(log_weight))``, a new array; numpy's own ``logaddexp`` takes four times as long."""
    if log_weight == -np.inf:
        return values.copy()
    apart = values - log_weight
    result = np.maximum(values, log_weight)
    np.negative(np.abs(apart, out=apart), out=apart)
    result += np.log1p(np.exp(apart, out=apart), out=apart)
    return result


def log_evidence(log_capital: Array, log_prior: Array, rung: Integers, unspent: float) -> Array:
    """``ln E`` at one rung of the dispersion ladder.

    Args:
        log_capital: [..., P, K].
        log_prior: [K].
        rung: index into the ladder, [...], or several of them, [N, ...].
        unspent: cash not yet invested.
    """
    flat = log_capital.reshape(-1, *log_capital.shape[-2:])
    rows = np.arange(flat.shape[0])
    chosen = flat[rows, rung.reshape(-1, rows.size)].reshape(*rung.shape, -1)
    chosen += log_prior
    result: Array = np.logaddexp(log_sum(chosen), log(max(unspent, 1e-300)))
    return result


def log_sum(values: Array) -> Array:
    """``ln sum exp`` over the last axis; -inf stays -inf."""
    top: Array = np.maximum.reduce(values, axis=-1)
    # Kept finite, so that a row of nothing but -inf sums to 0; its maximum, added at the end, makes it -inf again.
    parts = values - np.maximum(top, _LOWEST)[..., None]
    total: Array = np.add.reduce(np.exp(parts, out=parts), axis=-1)
    np.log(np.maximum(total, _SMALLEST, out=total), out=total)
    total += top
    return total


def empty(shape: tuple[int, ...], alternatives: int) -> Array:
    """Capital before the first look: none, [..., P, K]."""
    return np.full((*shape, PHI_LADDER.size, alternatives), -np.inf)


def rung_of(phi: Array) -> Integers:
    """The lowest rung of the ladder that is not below ``phi``; the highest one for more."""
    # A hair of tolerance: a dispersion that is 1 but for rounding belongs to the first rung.
    return np.minimum(PHI_LADDER.searchsorted(phi - 1e-9), PHI_LADDER.size - 1).astype(np.int64, copy=False)
