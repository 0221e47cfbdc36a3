"""How much noisier than pure counting a channel is, in the long run: phi >= 1, from running sums only.

Pearson residuals about the fitted effect, times what their autocorrelation adds in the long run; never less than what
blocks of a minute show, minus one standard error; shrunk to what is known beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from coalmine.analysis.grids import LAG, Array, Mask
from coalmine.analysis.trees import Count, Sum, choose

COLD_PHI = 1.25
COLD_LOOKS = 10.0
"""Without history: the prior dispersion, and how many looks it weighs."""
KNOWN_LOOKS = 60.0
"""With history: how many looks it weighs."""
SAFETY = 1.25
"""By how much the excess dispersion a history shows is enlarged."""
HIGHEST_RHO = 0.95


@dataclass(frozen=True)
class Prior:
    """What is known of channels' noise before the first look. ``tau2`` and ``known`` broadcast to the channels' shape."""

    tau2: Array
    known: Mask

    def phi(self, information: Array) -> Array:
        """Expected dispersion at this much information per look."""
        expected: Array = np.where(self.known, 1.0 + SAFETY * self.tau2 * information, COLD_PHI)
        return expected

    @property
    def looks(self) -> Array:
        """How many looks the prior weighs."""
        return np.where(self.known, KNOWN_LOOKS, COLD_LOOKS)


@dataclass(frozen=True)
class Dispersion:
    """Running sums over looks of a residual sum T and its variance V, all [...]; ``block_*`` over blocks of a minute."""

    looks: Count
    t: Sum
    v: Sum
    tt: Sum
    tv: Sum
    vv: Sum
    last_t: Sum
    last_v: Sum
    ttl: Sum
    tvl: Sum
    vvl: Sum
    filled: Count
    block_looks: Count
    open_t: Sum
    open_v: Sum
    block_t: Sum
    block_v: Sum
    block_tt: Sum
    block_tv: Sum
    block_vv: Sum
    unit: Sum
    unit2: Sum
    recent: Sum
    """The estimates of the last looks, newest last, [..., LAG + 1]; 0 = none yet."""

    @staticmethod
    def start(shape: tuple[int, ...]) -> Dispersion:
        """Nothing seen, for channels of this shape."""
        names = [name for name in Dispersion.__dataclass_fields__ if name != "recent"]
        return Dispersion(**{name: np.zeros(shape) for name in names}, recent=np.zeros((*shape, LAG + 1)))

    def add(self, t: Array, v: Array, unit: Array, block: int, present: Mask) -> Dispersion:
        """Fold one look in, where ``present``.

        Args:
            t: residual sum of the look, [...].
            v: its variance if it were pure counting.
            unit: information of the look at unit variance; scales the prior, never moved by the canary's own level.
            block: looks per block.
            present: which of the batch have this look.
        """
        open_t, open_v, filled = self.open_t + t, self.open_v + v, self.filled + 1
        full = filled >= block
        done_t, done_v = np.where(full, open_t, 0.0), np.where(full, open_v, 0.0)
        after = Dispersion(
            looks=self.looks + 1,
            t=self.t + t,
            v=self.v + v,
            tt=self.tt + t * t,
            tv=self.tv + t * v,
            vv=self.vv + v * v,
            last_t=t + 0.0 * self.t,
            last_v=v + 0.0 * self.v,
            ttl=self.ttl + t * self.last_t,
            tvl=self.tvl + t * self.last_v + v * self.last_t,
            vvl=self.vvl + v * self.last_v,
            filled=np.where(full, 0.0, filled),
            block_looks=self.block_looks + full,
            open_t=np.where(full, 0.0, open_t),
            open_v=np.where(full, 0.0, open_v),
            block_t=self.block_t + done_t,
            block_v=self.block_v + done_v,
            block_tt=self.block_tt + done_t * done_t,
            block_tv=self.block_tv + done_t * done_v,
            block_vv=self.block_vv + done_v * done_v,
            unit=self.unit + unit,
            unit2=self.unit2 + unit * unit,
            recent=self.recent,
        )
        return choose(np.broadcast_to(present, self.t.shape), after, self)

    def information(self) -> Array:
        """Unit information of a typical look: the average that excess variance, being quadratic, goes by."""
        return _over(self.unit2, self.unit)

    def observed(self, scale: Array, noise: float) -> tuple[Array, Array]:
        """Long-run dispersion seen so far, and the autocorrelation.

        Args:
            scale: true over assumed variance of the residuals, [...].
            noise: standard errors by which autocorrelation and blocks are discounted; 1 while judging, 0 for a history.
        """
        k = np.maximum(self.looks, 1.0)
        effect = _over(self.t, self.v)
        residual = np.maximum(self.tt - 2.0 * effect * self.tv + effect**2 * self.vv, 0.0)
        lagged = self.ttl - effect * self.tvl + effect**2 * self.vvl
        rho = np.clip(_over(lagged, residual) - noise / np.sqrt(k), 0.0, HIGHEST_RHO)
        spread = _over(residual, self.v * scale * np.maximum(k - 1.0, 1.0) / k) * (1.0 + rho) / (1.0 - rho)

        blocks = np.maximum(self.block_looks, 1.0)
        effect = _over(self.block_t, self.block_v)
        residual = np.maximum(self.block_tt - 2.0 * effect * self.block_tv + effect**2 * self.block_vv, 0.0)
        by_block = _over(residual, self.block_v * scale * np.maximum(blocks - 1.0, 1.0) / blocks)
        by_block *= np.maximum(1.0 - noise * np.sqrt(2.0 / blocks), 0.0)
        return np.maximum(spread, by_block), rho

    def phi(self, prior: Prior, level: Array, scale: Array) -> Array:
        """Dispersion as estimated now, shrunk to the prior; at least 1."""
        weight, expected = prior.looks, np.maximum(prior.phi(level * self.information()), 1.0)
        seen = np.maximum(self.looks - 1.0, 0.0)
        observed, _ = self.observed(scale, noise=1.0)
        return np.maximum((weight * expected + seen * observed) / (weight + seen), 1.0)

    def remember(self, phi: Array, present: Mask) -> Dispersion:
        """Keep this look's estimate for use ``LAG`` looks later."""
        recent = np.concatenate([self.recent[..., 1:], phi[..., None]], axis=-1)
        return choose(np.broadcast_to(present, self.t.shape), replace(self, recent=recent), self)

    def lagged(self, prior: Prior, level: Array) -> Array:
        """The dispersion to judge by: the estimate ``LAG`` looks ago, before that the prior's."""
        oldest = self.recent[..., 0]
        return np.where(oldest > 0, oldest, np.maximum(prior.phi(level * self.information()), 1.0))


def _over(top: Array, bottom: Array) -> Array:
    result: Array = np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), 0.0)
    return result
