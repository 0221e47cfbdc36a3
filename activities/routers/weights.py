"""Weights as routers count them: whole ten-thousandths, whose total never changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from coalmine.errors import RouteRejected
from coalmine.records import Check, Weights

TOTAL = 10_000
"""Units of a whole route: one unit is 0.01 %."""
FINEST = 0.01
"""The smallest step of a weight, in percent, where the data plane can do any."""


def weight_units(weights: Weights, finest: float = FINEST) -> dict[str, int]:
    """Percent by backend as units of 0.01 %, in the same order; they sum to ``TOTAL``.

    Args:
        weights: percent by backend.
        finest: the smallest step the data plane can do, in percent; a multiple of 0.01.

    Raises:
        RouteRejected: no backend, or a weight that is no number, negative or finer than ``finest``, or a sum other
            than 100.
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
        steps = weight / finest
        if abs(steps - round(steps)) > 1e-6:
            raise RouteRejected(f"the weight of {backend!r} is {weight!r}: finer than {finest:g} %, round it")
        units[backend] = round(weight * 100)
    total = sum(units.values())
    if total == 0:
        raise RouteRejected(f"all weights are zero ({_listed(weights)}): one backend must get the traffic")
    if total != TOTAL:
        raise RouteRejected(f"the weights sum to {total / 100:g}, not 100: {_listed(weights)}")
    return units


def weights_check(weights: Sequence[float], finest: float = FINEST) -> Check:
    """Whether the canary can get each of these shares, in percent."""
    try:
        for weight in weights:
            weight_units({"canary": weight, "baseline": 100 - weight}, finest)
    except RouteRejected as error:
        return Check(ok=False, name="weights", reason=str(error))
    return Check(ok=True, name="weights", reason="every step can be written")


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
