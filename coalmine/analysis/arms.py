"""Several candidates beside one baseline under one alpha: the evidence against each, adjusted for the others.

The closure of the arithmetic mean of e-values: a candidate is rejected when the mean over every set of candidates that
it belongs to reaches 1/alpha. That holds the chance that any harmless candidate is ever rejected to alpha however the
e-values depend on each other, as they do where candidates share their baseline; and it never rejects less than alpha
divided by the number of candidates would (Vovk and Wang, "E-values: calibration, combination and applications", Annals
of Statistics 49, 2021, section 6, and "Confidence and discoveries with e-values", Statistical Science 38, 2023).
"""

from __future__ import annotations

import numpy as np

from coalmine.analysis.grids import Array


def adjusted_for_arms(log_e: Array) -> Array:
    """``ln E`` of each candidate, adjusted: reject those at or above ``ln(1/alpha)``.

    Args:
        log_e: ``ln E`` against "this candidate does no harm", [..., A]; all at the same look, which may be any.

    Returns:
        [..., A], never above ``log_e``; the same where there is one candidate.
    """
    # The worst set that a candidate belongs to adds the weakest of the others, as long as they lower the mean.
    order = np.argsort(log_e, axis=-1, kind="stable")
    weakest = np.take_along_axis(log_e, order, axis=-1)
    sums: Array = np.logaddexp.accumulate(weakest, axis=-1)
    number = np.arange(1, log_e.shape[-1] + 1)
    with_weakest = np.logaddexp(weakest[..., :, None], sums[..., None, :]) - np.log(number + 1.0)
    # Those weakest must not hold the candidate itself.
    others = np.where(number[None, :] <= np.arange(number.size)[:, None], with_weakest, np.inf)
    worst = np.minimum(weakest, others.min(axis=-1))
    result: Array = np.empty_like(worst)
    np.put_along_axis(result, order, worst, axis=-1)
    return result
