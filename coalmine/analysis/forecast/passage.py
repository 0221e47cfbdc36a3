"""When a sum of random steps first crosses a moving boundary: the recursion of group-sequential designs.

The law of the sum, of those runs that have not crossed, is carried from moment to moment on a lattice (Armitage,
McPherson and Rowe, 1969). While events are few it is the lattice of whole numbers and the steps are binomial; when they
are many the lattice is coarser and the steps are normal.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import gammaln, ndtr, xlog1py, xlogy

from coalmine.analysis.grids import Array

ENOUGH = 0.9999
"""Runs that have crossed after which the rest is not followed."""
_FINE = 3.0
"""Lattice points per standard deviation of the smallest normal step."""
_COARSE = 10.0
"""Above this many points per standard deviation of a step, the lattice is made coarser."""
_TAIL = 1e-10


def first_passage(mean: Array, variance: Array, boundary: Array, *, whole: bool) -> Array:
    """Chance to have reached the boundary from below by each moment.

    Args:
        mean, variance: of the step before each moment, [T]; a variance of 0 is a step that is sure.
        boundary: the sum that is to be reached, [T]; infinite where none will do.
        whole: whether the sum counts whole events; where the mean is negative it counts them downwards.

    Returns:
        Never falling, [T].
    """
    deviation = np.sqrt(variance[variance > 0])
    space = 1.0 if whole else (float(deviation.min()) / _FINE if deviation.size else 1.0)
    origin, mass, crossed = 0.0, np.ones(1), 0.0
    chances = np.zeros(mean.size)
    for moment in range(mean.size):
        step = float(np.sqrt(variance[moment]))
        while step > _COARSE * space:
            mass = np.append(mass, 0.0) if mass.size % 2 else mass
            mass, origin, space, whole = mass.reshape(-1, 2).sum(axis=1), origin + 0.5 * space, 2.0 * space, False
        start, kernel = _kernel(float(mean[moment]), float(variance[moment]), space, whole)
        mass, origin = np.convolve(mass, kernel), origin + start
        position = origin + space * np.arange(mass.size)
        distance = position - boundary[moment]
        # A cell of the coarse lattice may be crossed in part; a whole number of events is crossed or it is not.
        exact = whole or mass.size == 1
        part = (distance >= -1e-9).astype(float) if exact else np.clip(distance / space + 0.5, 0.0, 1.0)
        crossed += float((mass * part).sum())
        chances[moment] = crossed
        mass = mass * (1.0 - part)
        if crossed >= ENOUGH:
            chances[moment:] = crossed
            break
        mass, origin = _trimmed(mass, origin, space)
    return np.minimum(chances, 1.0)


def _trimmed(mass: Array, origin: float, space: float) -> tuple[Array, float]:
    kept = np.flatnonzero(mass > _TAIL)
    if not kept.size:
        return mass[:1], origin
    return mass[kept[0] : kept[-1] + 1], origin + space * float(kept[0])


@lru_cache(maxsize=1024)
def _kernel(mean: float, variance: float, space: float, whole: bool) -> tuple[float, Array]:
    """The law of one step on the lattice: where it starts, and its masses; kept, for most steps are alike."""
    if variance <= 0:
        return mean, np.ones(1)
    if whole:
        least, counts = _counts(abs(mean), variance)
        return (least, counts) if mean >= 0 else (1.0 - counts.size - least, counts[::-1])
    reach = int(np.ceil(6.0 * np.sqrt(variance) / space))
    edges = (np.arange(-reach, reach + 2) - 0.5) * space
    # Spreading mass over a cell adds a twelfth of its square to the variance.
    mass = np.diff(ndtr(edges / np.sqrt(max(variance - space**2 / 12.0, variance / 4.0))))
    return mean - reach * space, mass / mass.sum()


def _counts(mean: float, variance: float) -> tuple[float, Array]:
    """Binomial, Poisson or negative binomial with this mean and variance: its least whole number, and its masses."""
    reach = 9.0 * np.sqrt(variance) + 12.0
    least = max(float(np.floor(mean - reach)), 0.0)
    points = np.arange(least, np.ceil(mean + reach))
    ratio = variance / mean
    law: Array
    if ratio < 0.999:
        chance = 1.0 - ratio
        few = np.floor(mean / chance)
        more = mean / chance - few
        law = (1.0 - more) * _binomial(points, few, chance) + more * _binomial(points, few + 1.0, chance)
    elif ratio <= 1.001:
        law = np.exp(xlogy(points, mean) - mean - gammaln(points + 1.0))
    else:
        size = mean / (ratio - 1.0)
        ways = gammaln(points + size) - gammaln(size) - gammaln(points + 1.0)
        law = np.exp(ways - size * np.log(ratio) + xlog1py(points, -1.0 / ratio))
    return least, law / law.sum()


def _binomial(points: Array, trials: float, chance: float) -> Array:
    inside = points <= trials
    x = np.where(inside, points, 0.0)
    ways = gammaln(trials + 1.0) - gammaln(x + 1.0) - gammaln(trials - x + 1.0)
    law: Array = np.where(inside, np.exp(ways + xlogy(x, chance) + xlog1py(trials - x, -chance)), 0.0)
    return law
