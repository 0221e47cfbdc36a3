"""Does the canary get the share of the traffic it was given? If not, the comparison is invalid, whatever it says.

A beta-binomial e-process of the canary's requests against its weight (Lindon and Malek, 2022), tempered by the
dispersion of the split. How large that is a few looks tell badly: requests of one client stay together (feature flags,
sticky users), and by chance the first looks show less of it than there is. So it is taken for as large as they leave
open, and a mismatch takes the more looks the smaller it is. Every change of the weight begins a process of its own; the
k-th may err with alpha / (k (k + 1)), so that all of them together stay below alpha.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import betaln, chdtri

from coalmine.analysis.dispersion import Dispersion, Prior
from coalmine.analysis.grids import Array, Integers, Mask, Numeric, every, some
from coalmine.analysis.noises import Noises
from coalmine.analysis.sentences import number, percent
from coalmine.analysis.state import decode
from coalmine.analysis.trees import Count, choose, take

ALPHA = 0.001
TOLERANCE = 0.1
"""A share is off only when it differs from the weight by more than this part of the weight."""
_CONCENTRATION = 100.0
_DOUBT = 0.01
"""Chance that the dispersion is larger than what the looks so far leave open."""
_LOOKS = 0
"""Where a dispersion's sums have the number of its looks."""
_ONE: Array = np.ones(1)
_COLD = Prior(np.zeros(1), np.zeros(1, bool))


@dataclass(frozen=True)
class SampleRatio:
    """State of the test for a batch of runs, arrays [S]: ``share`` under test, ``tests`` how many there were."""

    share: Array
    tests: Integers
    canary: Count
    baseline: Count
    noise: Dispersion

    @staticmethod
    def start(size: int = 1) -> SampleRatio:
        """Nothing seen, for ``size`` runs."""
        none = np.zeros(size)
        return SampleRatio(none, np.zeros(size, np.int64), none, none, Dispersion.start((size,)))

    def add(
        self, canary: Numeric, baseline: Numeric, share: Numeric, noises: Noises, present: Mask | None = None
    ) -> SampleRatio:
        """Fold one window in.

        Args:
            canary, baseline: requests, [S].
            share: the canary's, 0-1, exclusive; the windows lie wholly at it, [S].
            noises: where its noise is folded in; what is returned holds none before they are settled.
            present: which runs have this window; all when None.
        """
        if present is None:
            present = np.ones(self.share.shape, bool)
        elif not every(present):
            canary, baseline = (np.where(present, arm, 0) for arm in (canary, baseline))
            share = np.where(present, share, self.share)
        anew = share != self.share
        state = choose(anew, self._anew(share), self) if some(anew) else self
        total = canary + baseline
        v = total * share * (1.0 - share)
        # A window without requests says nothing of how they are dealt out.
        noise = noises.fold(state.noise, (canary - share * total, v, v, _ONE), present & (total > 0))
        return SampleRatio(
            np.zeros(self.share.shape) + share,
            self.tests + anew,
            state.canary + canary,
            state.baseline + baseline,
            noise,
        )

    def take(self, runs: Mask) -> SampleRatio:
        """Some of the runs."""
        return replace(take(self, runs), share=self.share[runs], tests=self.tests[runs])

    def _anew(self, share: Numeric) -> SampleRatio:
        return replace(SampleRatio.start(self.share.size), share=np.broadcast_to(share, self.share.shape))

    @property
    def terms(self) -> dict[str, Any]:
        """Of one run, as JSON: what is not among the arrays of a state."""
        return {"share": float(self.share[0]), "tests": int(self.tests[0])}

    def under(self, share: float, tests: int) -> SampleRatio:
        """The state of one run with its ``terms``."""
        return replace(self, share=np.array([float(share)]), tests=np.array([int(tests)]))

    @staticmethod
    def read(written: dict[str, Any] | None) -> SampleRatio:
        """Of one run, written by itself, as evidence of version 2 has it; a fresh state for None."""
        fresh = SampleRatio.start()
        if not written:
            return fresh
        return decode(fresh, written).under(written["share"], written["tests"])

    def complaint(self, run: int = 0) -> str:
        """What is wrong with the sample ratio of one run, in a sentence; empty when nothing is."""
        if not self.mismatch()[run]:
            return ""
        total = float((self.canary + self.baseline)[run])
        return (
            f"the sample ratio is off: the canary got {percent(float(self.seen[run]))} of {number(total)} requests "
            f"instead of {percent(float(self.share[run]))}, so the comparison is invalid (alpha {percent(ALPHA)})"
        )

    @property
    def seen(self) -> Array:
        """The canary's share of the requests at this weight, [S]; nan without requests."""
        total = self.canary + self.baseline
        result: Array = np.where(total > 0, self.canary / np.where(total > 0, total, 1.0), np.nan)
        return result

    def mismatch(self) -> Mask:
        """The share is off by more than a tenth of the weight, and that is not chance; [S]."""
        tested = (self.tests > 0) & (self.canary + self.baseline > 0)
        share = np.where(tested, self.share, 0.5)
        off = tested & ~(np.abs(self.seen / share - 1.0) <= TOLERANCE)
        if not some(off):
            return off
        phi = np.maximum(self.noise.lagged(_COLD, np.ones(1)), self._left_open())
        a, b = _CONCENTRATION * share, _CONCENTRATION * (1.0 - share)
        n_c, n_b = self.canary / phi, self.baseline / phi
        evidence = betaln(a + n_c, b + n_b) - betaln(a, b) - n_c * np.log(share) - n_b * np.log1p(-share)
        result: Mask = off & (evidence >= np.log(np.maximum(self.tests * (self.tests + 1), 1) / ALPHA))
        return result

    def _left_open(self) -> Array:
        """How large the dispersion may be by what the looks show, [S]; infinite after a single one."""
        free = self.noise.sums[..., _LOOKS] - 1.0
        seen = np.maximum(self.noise.recent[..., -1], 1.0)
        quantile = chdtri(np.maximum(free, 1.0), 1.0 - _DOUBT)
        result: Array = np.where(free > 0, seen * free / quantile, np.inf)
        return result
