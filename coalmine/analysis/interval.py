"""Estimate and anytime-valid interval of an odds ratio, from the sum of the log-likelihoods on a fixed grid.

After an hour the likelihood falls by a hundred nats from one grid point to the next. Straight lines between the points
lie far below it, and an interval read from them leaves the truth out; so the curve is refined by cubics first.
"""

from __future__ import annotations

import numpy as np

from coalmine.analysis.grids import CURVE_RATIOS, Array, Integers
from coalmine.analysis.mixture import log_sum

_LOG_RATIOS: Array = np.log(CURVE_RATIOS)
_STEP = float(_LOG_RATIOS[1] - _LOG_RATIOS[0])
_PARTS = 32
"""Points of the refined curve for each of the kept one."""


def _cubics() -> Array:
    """The refined curve as a linear map of the kept one: cubics with central differences as slopes, [41, 1281]."""
    points = _LOG_RATIOS.size
    slopes = np.gradient(np.eye(points), axis=0, edge_order=2)
    place = np.arange((points - 1) * _PARTS + 1)
    left = np.minimum(place // _PARTS, points - 2)
    u = ((place - left * _PARTS) / _PARTS)[:, None]
    here, there = np.eye(points)[left], np.eye(points)[left + 1]
    result: Array = (
        (1.0 + 2.0 * u) * (1.0 - u) ** 2 * here
        + u * (1.0 - u) ** 2 * slopes[left]
        + u**2 * (3.0 - 2.0 * u) * there
        - u**2 * (1.0 - u) * slopes[left + 1]
    ).T
    return result


_REFINE: Array = np.ascontiguousarray(_cubics())


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
    fine = curve @ _REFINE
    tempered = (fine - fine.max(axis=-1, keepdims=True)) / phi[..., None]
    against = log_sum(tempered)[..., None] - np.log(fine.shape[-1]) - tempered
    slack = np.log(1.0 / alpha) - against
    inside = slack > 0
    first = inside.argmax(axis=-1).astype(np.int64)
    last = fine.shape[-1] - 1 - inside[..., ::-1].argmax(axis=-1)
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
    """Where ``slack`` falls to zero between point ``index`` of the refined curve and its neighbour on ``side``."""
    neighbour = np.clip(index + side, 0, slack.shape[-1] - 1).astype(np.int64)
    here, there = _at(slack, index), _at(slack, neighbour)
    part = np.where(neighbour == index, 0.0, np.clip(here / np.where(here > there, here - there, 1.0), 0.0, 1.0))
    result: Array = _LOG_RATIOS[0] + (index + side * part) * (_STEP / _PARTS)
    return result
