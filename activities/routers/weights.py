"""Weights as routers count them: whole ten-thousandths, whose total never changes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from coalmine.errors import RouteRejected
from coalmine.records import Weights

TOTAL = 10_000
"""Units of a whole route: one unit is 0.01 %."""


def weight_units(weights: Weights) -> dict[str, int]:
    """Percent by backend as units of 0.01 %, in the same order; they sum to ``TOTAL``.

    Raises:
        RouteRejected: no backend, or a weight that is no number, negative or finer than 0.01, or a sum other than 100.
    """
    if not weights:
        raise RouteRejected("no weights: name at least one backend")
    units: dict[str, int] = {}
    for backend, weight in weights.items():
        if not backend:
            raise RouteRejected("a backend without a name: every weight needs one")
        if not math.isfinite(weight):
            raise RouteRejected(f"the weight of {backend!r} is {weight}: it must be a number")
        if weight < 0:
            raise RouteRejected(f"the weight of {backend!r} is {weight:g}: it must not be negative")
        # Binary fractions such as 100 - 0.07 miss the hundredth by less than this.
        if abs(weight * 100 - round(weight * 100)) > 1e-6:
            raise RouteRejected(f"the weight of {backend!r} is {weight!r}: finer than 0.01 %, round it")
        units[backend] = round(weight * 100)
    total = sum(units.values())
    if total == 0:
        raise RouteRejected(f"all weights are zero ({_listed(weights)}): one backend must get the traffic")
    if total != TOTAL:
        raise RouteRejected(f"the weights sum to {total / 100:g}, not 100: {_listed(weights)}")
    return units


def percents(units: Mapping[str, int]) -> Weights:
    """Units of any positive total as percent by backend, rounded to 0.01 so that they sum to 100."""
    total = sum(units.values())
    hundredths = {backend: unit * TOTAL // total for backend, unit in units.items()}
    remainders = sorted(units, key=lambda backend: -(units[backend] * TOTAL % total))
    for backend in remainders[: TOTAL - sum(hundredths.values())]:
        hundredths[backend] += 1
    return {backend: share / 100 for backend, share in hundredths.items()}


def _listed(weights: Weights) -> str:
    return ", ".join(f"{backend} {weight:g}" for backend, weight in weights.items())
