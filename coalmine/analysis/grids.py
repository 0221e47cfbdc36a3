"""The grids the mixtures run on, and the constants of the method; nothing here depends on data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
Numeric = NDArray[Any]


def every(mask: Mask) -> bool:
    """All of them; numpy's own ``all`` takes five times as long for the few there are."""
    return bool(np.count_nonzero(mask) == mask.size)


def some(mask: Mask) -> bool:
    """Any of them; see ``every``."""
    return bool(np.count_nonzero(mask))


PHI_LADDER: Array = np.array([1.0, 1.25, 1.6, 2.5, 5.0, 12.0, 40.0])
"""Long-run dispersions a process is kept for; an estimate above the first two is rounded up to the next."""

HARM_RATIOS: Array = np.geomspace(1.15, 400.0, 22)
"""Odds ratios bet on, as multiples of the margin."""
HARM_LOG_PRIOR: Array = -0.5 * np.log(HARM_RATIOS) - np.log(np.sum(HARM_RATIOS**-0.5))
EXCEEDANCE_LOG_PRIOR: Array = -np.log(HARM_RATIOS) - np.log(np.sum(1.0 / HARM_RATIOS))
"""Slow requests double where errors grow a hundredfold, so the bounds' bets are on smaller ratios."""

FLOOR_RATIOS: Array = np.geomspace(1.5, 30.0, 6)
"""Odds of the canary's level bet on, as multiples of the odds of the floor."""
FLOOR_LOG_PRIOR: Array = np.full(6, -np.log(6.0))

NO_HARM_RATIOS: Array = 1.0 / np.geomspace(1.1, 8.0, 14)
"""Odds ratios bet on for no harm, as multiples of the no-harm margin."""
NO_HARM_LOG_PRIOR: Array = np.full(14, -np.log(14.0))
"""Where nothing is expected beforehand."""
NO_HARM_SHARE = 0.005
"""A level below this share is no harm whatever the baseline."""
BELOW_LOG_PRIOR: Array = -np.log(NO_HARM_RATIOS) - np.log(np.sum(1.0 / NO_HARM_RATIOS))
"""Of the bets on a level below it: lower ones first, for what is hardly below is shown against the baseline sooner."""
RELATIVE_LOG_SHARE, BELOW_LOG_SHARE = float(np.log(0.8)), float(np.log(0.2))
"""Parts of the proof of no harm: against the baseline, and below that level."""
_NO_CHANGE_WIDTH, _NO_CHANGE_PART = 0.2, 0.9


def no_harm_log_prior(margin: Array) -> Array:
    """Of the ratios of ``NO_HARM_RATIOS`` below each no-harm margin [...], [..., 14]: most lies about "no change".

    That is the truth of nearly all releases that are to be promoted; a tenth is spread over all ratios.
    """
    away = np.log(np.asarray(margin, float)[..., None] * NO_HARM_RATIOS) / _NO_CHANGE_WIDTH
    near = np.exp(0.5 * (np.min(away**2, axis=-1, keepdims=True) - away**2))
    near /= near.sum(axis=-1, keepdims=True)
    result: Array = np.log(_NO_CHANGE_PART * near + (1.0 - _NO_CHANGE_PART) / NO_HARM_RATIOS.size)
    return result


TILTS: Array = np.geomspace(0.03, 3.0, 14)
"""Exponential tilts bet on by the rank scores."""
TILT_LOG_PRIOR: Array = np.full(14, -np.log(14.0))

CURVE_RATIOS: Array = np.geomspace(1.0 / 30.0, 400.0, 41)
"""Odds ratios at which the log-likelihood is kept, for estimate and interval."""

CRASH_SHARE = 0.5
CRASH_RATIO = 2.0
CRASH_LEVELS: Array = np.array([0.75, 0.95])
CRASH_LEVEL_LOG_PRIOR: Array = np.full(2, -np.log(2.0))

MIN_EVENTS = 5
"""Harm never rests on fewer canary events than this; the crash guard is exempt."""
MIN_HISTORY_LOOKS = 60
"""A history of fewer looks says nothing."""
LAG = 3
"""Looks by which the dispersion lags behind, so that a fresh fault does not excuse itself."""
