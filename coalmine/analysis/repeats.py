"""Running sums that stand in a state more than once are written down once.

The channels of a metric have seen the same looks and closed the same blocks, rank scores have the same variance, and
where the information at unit variance is that variance, both are summed up.
"""

from __future__ import annotations

import numpy as np

from coalmine.analysis.dispersion import Dispersion
from coalmine.analysis.grids import Integers, Numeric
from coalmine.errors import InputError

_CHANNEL = Dispersion.start(()).sums.size
_DISTANCES = (_CHANNEL, 18, 16)
"""How far before it in the sums of ``coalmine.analysis.dispersion`` lies: the same one of the channel before; V of
``unit``; V times V of ``unit2``."""


def distances(sums: Numeric) -> Numeric:
    """How far before each of the 32-bit floats the same bits stand, at one of the known distances; 0 = at none."""
    bits, found = sums.view("<u4"), np.zeros(sums.size, np.uint8)
    for distance in _DISTANCES:
        found[distance:][bits[distance:] == bits[:-distance]] = distance
    return found


def restored(kept: Numeric, back: Numeric) -> Numeric:
    """All of the floats, of those whose distance is 0.

    Raises:
        InputError: the distances lead to before the first.
    """
    first: Integers = np.arange(back.size) - back
    if first.size and first.min() < 0:
        raise InputError(
            "evidence.state: cannot be read (sums from before the first): pass on what the last evaluation returned"
        )
    while (further := back[first]).any():
        first -= further
    result: Numeric = kept[(np.cumsum(back == 0) - 1)[first]]
    return result
