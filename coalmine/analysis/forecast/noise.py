"""By how much the judge will temper its evidence: the dispersion it will have estimated by a look, in expectation.

The estimate of ``coalmine.analysis.dispersion`` scatters even when the noise is pure counting, and what it scatters
upwards costs evidence: it is never below 1, and above the first rungs it is rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from coalmine.analysis import mixture
from coalmine.analysis.dispersion import COLD_LOOKS, COLD_PHI, KNOWN_LOOKS, SAFETY
from coalmine.analysis.grids import LAG, PHI_LADDER, Array, Numeric

_NODES: Array = ndtri((np.arange(15) + 0.5) / 15.0)


@dataclass(frozen=True)
class Noise:
    """One channel's noise: ``tau2`` of its history, None without one."""

    tau2: float | None = None

    def truth(self, information: Numeric) -> Array:
        """The dispersion assumed true at this much information per look: the history's, else pure counting."""
        return 1.0 + (self.tau2 or 0.0) * np.asarray(information, float)

    def tempering(self, looks: Numeric, information: Numeric, events: Numeric) -> Array:
        """What the log-likelihood will be divided by.

        Args:
            looks: taken so far, [...].
            information: per look, [...].
            events: expected per look, [...]: the fewer, the more the estimate scatters.
        """
        known = self.tau2 is not None
        weight = KNOWN_LOOKS if known else COLD_LOOKS
        truth = self.truth(information)
        prior = 1.0 + SAFETY * (truth - 1.0) if known else np.full_like(truth, COLD_PHI)
        # Lagged: in the first looks there is nothing but the prior.
        seen = np.maximum(np.asarray(looks, float) - LAG - 1.0, 0.0)
        share = seen / (weight + seen)
        count = np.maximum(seen, 1.0)
        # Pearson residuals of counts, and what a positive autocorrelation by chance adds (see ``observed``).
        spread = np.sqrt((2.0 + 1.0 / np.maximum(events, 1e-3)) / count + 0.3 / count)
        middle = prior + share * (truth * (1.0 + 0.17 / np.sqrt(count)) - prior)
        estimate = np.maximum(middle[..., None] + (share * truth * spread)[..., None] * _NODES, 1.0)
        rung = mixture.rung_of(estimate)
        used = np.where(rung <= 1, estimate, np.maximum(PHI_LADDER[rung], estimate))
        result: Array = 1.0 / (1.0 / used).mean(axis=-1)
        return result
