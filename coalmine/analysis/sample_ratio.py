"""Does the canary get the share of the traffic it was given? If not, the comparison is invalid, whatever it says.

A beta-binomial e-process of the canary's requests against its weight (Lindon and Malek, 2022), tempered by the
dispersion of the split. Every change of the weight begins a process of its own; the k-th may err with
alpha / (k (k + 1)), so that all of them together stay below alpha.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import betaln

from coalmine.analysis.dispersion import Dispersion, Prior
from coalmine.analysis.sentences import number, percent
from coalmine.analysis.state import decode, encode
from coalmine.analysis.trees import Count

ALPHA = 0.001
TOLERANCE = 0.1
"""A share is off only when it differs from the weight by more than this part of the weight."""
_CONCENTRATION = 100.0
_COLD = Prior(np.zeros(1), np.zeros(1, bool))


@dataclass(frozen=True)
class SampleRatio:
    """State of the test, arrays [1]: ``share`` is the weight under test, ``tests`` how many there were."""

    share: float
    tests: int
    canary: Count
    baseline: Count
    noise: Dispersion

    @staticmethod
    def start(share: float = 0.0, tests: int = 0) -> SampleRatio:
        """Nothing seen at this share."""
        return SampleRatio(share, tests, np.zeros(1), np.zeros(1), Dispersion.start((1,)))

    def add(self, canary: int, baseline: int, share: float, block: int) -> SampleRatio:
        """Fold one window in, taken wholly at ``share`` (0-1, exclusive)."""
        state = self if share == self.share else SampleRatio.start(share, self.tests + 1)
        total = float(canary + baseline)
        t = np.array([canary - share * total])
        v = np.array([total * share * (1.0 - share)])
        noise = state.noise.add(t, v, v, block, np.ones(1, bool))
        noise = noise.remember(noise.phi(_COLD, np.ones(1), np.ones(1)), np.ones(1, bool))
        return replace(state, canary=state.canary + canary, baseline=state.baseline + baseline, noise=noise)

    def written(self, look: int) -> dict[str, Any]:
        """The state as JSON."""
        return encode(self, look) | {"share": self.share, "tests": self.tests}

    @staticmethod
    def read(written: dict[str, Any] | None) -> SampleRatio:
        """What ``written`` wrote; a fresh state for None."""
        if not written:
            return SampleRatio.start()
        return decode(SampleRatio.start(float(written["share"]), int(written["tests"])), written)

    def complaint(self) -> str:
        """What is wrong with the sample ratio, in a sentence; empty when nothing is."""
        if not self.tests or not self.mismatch():
            return ""
        total = float((self.canary + self.baseline)[0])
        return (
            f"the sample ratio is off: the canary got {percent(self.seen)} of {number(total)} requests "
            f"instead of {percent(self.share)}, so the comparison is invalid (alpha {percent(ALPHA)})"
        )

    @property
    def seen(self) -> float:
        """The canary's share of the requests at this weight; nan without requests."""
        total = float((self.canary + self.baseline)[0])
        return float(self.canary[0]) / total if total else float("nan")

    def mismatch(self) -> bool:
        """The share is off by more than a tenth of the weight, and that is not chance."""
        if not self.canary[0] + self.baseline[0] or abs(self.seen / self.share - 1.0) <= TOLERANCE:
            return False
        phi = self.noise.lagged(_COLD, np.ones(1))
        a, b = _CONCENTRATION * self.share, _CONCENTRATION * (1.0 - self.share)
        n_c, n_b = self.canary / phi, self.baseline / phi
        evidence = betaln(a + n_c, b + n_b) - betaln(a, b) - n_c * np.log(self.share) - n_b * np.log1p(-self.share)
        return bool(evidence[0] >= np.log(self.tests * (self.tests + 1) / ALPHA))
