"""Estimate and anytime-valid interval of an odds ratio, from the sum of the log-likelihoods on a fixed grid."""

from __future__ import annotations

import numpy as np

from coalmine.analysis.grids import CURVE_RATIOS, Array, Integers
from coalmine.analysis.mixture import log_sum

_LOG_RATIOS: Array = np.log(CURVE_RATIOS)
_STEP = float(_LOG_RATIOS[1] - _LOG_RATIOS[0])


def estimate(curve: Array) -> Array:
    """The ratio of the largest likelihood, refined by a parabola; nan where the curve is flat.

    Args:
        curve: [..., 41], log-likelihood up to a constant.
    """
    at = np.clip(curve.argmax(axis=-1), 1, curve.shape[-1] - 2).astype(np.int64)
    left, middle, right = (_at(curve, at + step) for step in (-1, 0, 1))
    bend = left - 2.0 * middle + right
    move = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, -1.0), 0.0)
    informative = curve.max(axis=-1) > curve.min(axis=-1)
    result: Array = np.where(informative, np.exp(_LOG_RATIOS[at] + np.clip(move, -1.0, 1.0) * _STEP), np.nan)
    return result


def interval(curve: Array, phi: Array, alpha: float) -> tuple[Array, Array]:
    """All ratios the mixture does not reject at ``alpha``, at every look together; nan where nothing is known.

    Args:
        curve: [..., 41].
        phi: long-run dispersion, [...].
        alpha: chance that the truth is ever outside.

    Returns:
        Lower and upper end, [...]; the ends of the grid (1/30, 400) stand for "no bound".
    """
    tempered = (curve - curve.max(axis=-1, keepdims=True)) / phi[..., None]
    against = log_sum(tempered)[..., None] - np.log(curve.shape[-1]) - tempered
    slack = np.log(1.0 / alpha) - against
    inside = slack > 0
    first = inside.argmax(axis=-1).astype(np.int64)
    last = curve.shape[-1] - 1 - inside[..., ::-1].argmax(axis=-1)
    low = _crossing(slack, first, -1)
    high = _crossing(slack, last, +1)
    informative = curve.max(axis=-1) > curve.min(axis=-1)
    return np.where(informative, np.exp(low), np.nan), np.where(informative, np.exp(high), np.nan)


def _at(values: Array, index: Integers) -> Array:
    """One value per row, [...], from values [..., K]."""
    flat = values.reshape(-1, values.shape[-1])
    result: Array = flat[np.arange(flat.shape[0]), index.reshape(-1)].reshape(index.shape)
    return result


def _crossing(slack: Array, index: Integers, side: int) -> Array:
    """Where ``slack`` falls to zero between grid point ``index`` and its neighbour on ``side``."""
    neighbour = np.clip(index + side, 0, slack.shape[-1] - 1).astype(np.int64)
    here, there = _at(slack, index), _at(slack, neighbour)
    part = np.where(neighbour == index, 0.0, np.clip(here / np.where(here > there, here - there, 1.0), 0.0, 1.0))
    result: Array = _LOG_RATIOS[index] + side * part * _STEP
    return result
