"""Estimate and anytime-valid interval of an odds ratio, from the sum of the log-likelihoods on a fixed grid.

After an hour the likelihood falls by a hundred nats from one grid point to the next. Straight lines between the points
lie far below it, and an interval read from them leaves the truth out; so the curve is refined by a cubic spline first.
Cubics with central differences as slopes would not do: their peak is up to 1.2 % beside the likelihood's, which is more
than an interval from a million canary events is wide.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coalmine.analysis.grids import CURVE_RATIOS, Array, Integers, Mask

_LOG_RATIOS: Array = np.log(CURVE_RATIOS)
_STEP = float(_LOG_RATIOS[1] - _LOG_RATIOS[0])
_PARTS = 32
"""Points of the refined curve for each of the kept one."""
_LOWEST = float(_LOG_RATIOS[0])
_WIDTH = float(_LOG_RATIOS[-1] - _LOG_RATIOS[0])
_FINEST = _STEP / _PARTS
"""An interval reaches at least this far to each side of its middle, 0.7 %: nothing finer is resolved."""
_NOTHING = 40.0
"""Nats below which a likelihood adds nothing to a sum of doubles."""
_BESIDE = 3
"""Kept points looked at beyond those that are near."""


def _slopes() -> Array:
    """Slopes at the kept points as a linear map of the curve, [41, 41]: of the spline whose ends have parabolas'."""
    points = _LOG_RATIOS.size
    differences = np.gradient(np.eye(points), axis=0, edge_order=2)
    # s[i-1] + 4 s[i] + s[i+1] = 3 (y[i+1] - y[i-1]): slopes with which the second derivative is continuous.
    smooth = np.eye(points)
    for row in range(1, points - 1):
        smooth[row, row - 1 : row + 2] = np.array([1.0, 4.0, 1.0]) / 6.0
    result: Array = np.ascontiguousarray(np.linalg.solve(smooth, differences).T)
    return result


def _piece() -> Array:
    """A piece of a cubic spline from its values and slopes at both ends, [4, 32]; the far end is the next one's."""
    u = np.arange(_PARTS) / _PARTS
    return np.array([(1.0 + 2.0 * u) * (1.0 - u) ** 2, u * (1.0 - u) ** 2, u**2 * (3.0 - 2.0 * u), -(u**2) * (1.0 - u)])


_SLOPES, _PIECE = _slopes(), _piece()
_POINTS = (_LOG_RATIOS.size - 1) * _PARTS + 1
"""Points of the whole refined curve."""


def estimate(curve: Array) -> Array:
    """The ratio of the largest likelihood, refined by a parabola; nan where the curve is flat.

    Args:
        curve: [..., 41], log-likelihood up to a constant.
    """
    flat = curve.reshape(-1, curve.shape[-1])
    at = np.minimum(np.maximum(flat.argmax(axis=-1), 1), flat.shape[-1] - 2)
    rows = np.arange(len(flat))
    left, middle, right = flat[rows, at - 1], flat[rows, at], flat[rows, at + 1]
    bend = left - 2.0 * middle + right
    move = np.divide(0.5 * (left - right), bend, out=np.zeros(bend.shape), where=bend < 0)
    ratio = np.exp(_LOG_RATIOS[at] + np.minimum(np.maximum(move, -1.0), 1.0) * _STEP)
    informative = np.maximum.reduce(flat, axis=-1) > np.minimum.reduce(flat, axis=-1)
    return np.where(informative, ratio, np.nan).reshape(curve.shape[:-1])


def interval(curve: Array, phi: Array, alpha: float) -> tuple[Array, Array]:
    """All ratios the mixture does not reject at ``alpha``, at every look together; nan where nothing is known.

    Args:
        curve: [..., 41].
        phi: long-run dispersion, [...].
        alpha: chance that the truth is ever outside.

    Returns:
        Lower and upper end, [...]; the ends of the grid (1/30, 400) stand for "no bound".
    """
    needed = np.log(1.0 / alpha)
    shape, curve, phi = curve.shape[:-1], curve.reshape(-1, curve.shape[-1]), phi.reshape(-1, 1)
    highest = np.maximum.reduce(curve, axis=-1)
    informative = highest > np.minimum.reduce(curve, axis=-1)
    first, last = _near(curve - highest[:, None], phi, informative, needed)
    begin = first * _PARTS
    slack = _refined(curve, first, last)
    slack -= np.maximum.reduce(slack, axis=-1, keepdims=True)
    slack /= phi
    # The maximum is 0, so the sum is at least 1.
    mean = np.log(np.add.reduce(np.exp(slack), axis=-1) / _POINTS)
    slack += (needed - mean)[:, None]
    inside = slack > 0
    lowest, highest = inside.argmax(axis=-1), slack.shape[-1] - 1 - inside[:, ::-1].argmax(axis=-1)
    low, high = _crossing(slack, lowest, -1, begin), _crossing(slack, highest, 1, begin)
    middle, half = (low + high) / 2.0, np.maximum((high - low) / 2.0, _FINEST)
    ends = np.maximum(middle - half, 0.0), np.minimum(middle + half, _WIDTH)
    low, high = (np.where(informative, np.exp(_LOWEST + end), np.nan).reshape(shape) for end in ends)
    return low, high


def intervals(channels: Sequence[tuple[Array, Array]], alpha: float) -> list[tuple[Array, Array]]:
    """``interval`` of each curve and dispersion, all worked out at once: few rows take as long as many."""
    if not channels:
        return []
    curves = [curve.reshape(-1, curve.shape[-1]) for curve, _ in channels]
    low, high = interval(np.concatenate(curves), np.concatenate([phi.reshape(-1) for _, phi in channels]), alpha)
    found: list[tuple[Array, Array]] = []
    start = 0
    for rows, (curve, _) in zip(curves, channels, strict=True):
        end = start + len(rows)
        found.append((low[start:end].reshape(curve.shape[:-1]), high[start:end].reshape(curve.shape[:-1])))
        start = end
    return found


def _near(below: Array, phi: Array, informative: Mask, needed: float) -> tuple[int, int]:
    """The kept points, first and last, outside which no ratio is in any interval, nor adds to a mixture's mean."""
    depth = needed + np.log(_POINTS) + _NOTHING
    near = (below > -depth * phi) & informative[:, None]
    points = np.logical_or.reduce(near, axis=0).nonzero()[0]
    if not points.size:
        return 0, 0
    return max(int(points[0]) - _BESIDE, 0), min(int(points[-1]) + _BESIDE, below.shape[-1] - 1)


def _refined(curve: Array, first: int, last: int) -> Array:
    """The refined curve from one kept point to another, both included, [R, 32 (last - first) + 1].

    Piece by piece: a product with the whole map is large enough for numpy's libraries to share it among threads, and
    where other work keeps a core busy, a look then waits for it ten times as long as all else takes.
    """
    slopes = curve @ _SLOPES
    ends = np.empty((len(curve), last - first, 4))
    ends[..., 0], ends[..., 1] = curve[:, first:last], slopes[:, first:last]
    ends[..., 2], ends[..., 3] = curve[:, first + 1 : last + 1], slopes[:, first + 1 : last + 1]
    pieces = ends.reshape(-1, 4) @ _PIECE
    return np.concatenate([pieces.reshape(len(curve), (last - first) * _PARTS), curve[:, last : last + 1]], axis=1)


def _crossing(slack: Array, ends: Integers, side: int, begin: int) -> Array:
    """Where ``slack`` falls to zero beyond an end, on the logarithmic axis of the ratios.

    Args:
        slack: [R, K], of the points of the refined curve from ``begin`` on.
        ends: the lowest (``side`` -1) or the highest (1) point inside, [R].

    Returns:
        How far above the lowest ratio, [R].
    """
    rows = np.arange(len(slack))
    beyond = np.minimum(np.maximum(ends + side, 0), slack.shape[-1] - 1)
    here, there = slack[rows, ends], slack[rows, beyond]
    fall = np.divide(here, here - there, out=np.zeros(here.shape), where=here > there)
    part = np.where(beyond == ends, 0.0, np.minimum(np.maximum(fall, 0.0), 1.0))
    result: Array = (begin + ends + side * part) * (_STEP / _PARTS)
    return result
