"""How much noisier than pure counting a channel is, in the long run: phi >= 1, from running sums only.

Pearson residuals about the fitted effect, times what their autocorrelation adds in the long run; never less than what
blocks of a minute show, minus one standard error; shrunk to what is known beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from coalmine.analysis.grids import LAG, Array, Mask
from coalmine.analysis.trees import Sum

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
    """What is known of channels' noise before the first look; ``tau2`` and ``known`` broadcast to their shape."""

    tau2: Array
    known: Mask

    def phi(self, information: Array) -> Array:
        """Expected dispersion at this much information per look."""
        expected: Array = np.where(self.known, 1.0 + SAFETY * self.tau2 * information, COLD_PHI)
        return expected

    def part(self, channels: slice) -> Prior:
        """Of some of the channels (the last axis)."""
        return Prior(self.tau2[..., channels], self.known[..., channels])

    @property
    def looks(self) -> Array:
        """How many looks the prior weighs."""
        return np.where(self.known, KNOWN_LOOKS, COLD_LOOKS)


_SUMS = (
    "looks", "t", "v", "tt", "tv", "vv", "last_t", "last_v", "ttl", "tvl", "vvl",
    "filled", "open_t", "open_v", "blocks", "block_t", "block_v", "block_tt", "block_tv", "block_vv",
    "unit", "unit2",
)  # fmt: skip
_AT = {name: index for index, name in enumerate(_SUMS)}


@dataclass(frozen=True)
class Dispersion:
    """Running sums over looks of a residual T and its variance V, for channels of any shape [...].

    Held in one array, in the order of ``_SUMS``: of T, V and their products; of products with the look before (``ttl``
    is T times the last T); the same of blocks of a minute; of the information at unit variance and its square.
    """

    sums: Sum
    """[..., 22]"""
    recent: Sum
    """The estimates of the last looks, newest last, [..., LAG + 1]; 0 = none yet."""

    @staticmethod
    def start(shape: tuple[int, ...]) -> Dispersion:
        """Nothing seen, for channels of this shape."""
        return Dispersion(np.zeros((*shape, len(_SUMS))), np.zeros((*shape, LAG + 1)))

    def add(self, t: Array, v: Array, unit: Array, block: int, present: Mask) -> Dispersion:
        """Fold one look in, where ``present``.

        Args:
            t: residual sum of the look, [...].
            v: its variance if it were pure counting.
            unit: information of the look at unit variance; scales the prior, never moved by the canary's own level.
            block: looks per block.
            present: which of the batch have this look.
        """
        last_t, last_v = self._sum("last_t"), self._sum("last_v")
        open_t, open_v, filled = self._sum("open_t") + t, self._sum("open_v") + v, self._sum("filled") + 1.0
        full = filled >= block
        done_t, done_v = np.where(full, open_t, 0.0), np.where(full, open_v, 0.0)
        one, keep = np.ones_like(open_t), np.where(full, 0.0, 1.0)
        fresh = {
            "looks": one, "t": t, "v": v, "tt": t * t, "tv": t * v, "vv": v * v,
            "ttl": t * last_t, "tvl": t * last_v + v * last_t, "vvl": v * last_v,
            "blocks": one - keep, "block_t": done_t, "block_v": done_v,
            "block_tt": done_t * done_t, "block_tv": done_t * done_v, "block_vv": done_v * done_v,
            "unit": unit, "unit2": unit * unit,
        }  # fmt: skip
        replaced = {"last_t": t, "last_v": v, "filled": filled * keep, "open_t": open_t * keep, "open_v": open_v * keep}
        sums = self.sums.copy()
        for name, values in fresh.items():
            sums[..., _AT[name]] += values
        for name, values in replaced.items():
            sums[..., _AT[name]] = values
        return replace(self, sums=np.where(np.asarray(present)[..., None], sums, self.sums))

    def information(self) -> Array:
        """Unit information of a typical look: the average that excess variance, being quadratic, goes by."""
        return _over(self._sum("unit2"), self._sum("unit"))

    def observed(self, scale: Array, noise: float) -> tuple[Array, Array]:
        """Long-run dispersion seen so far, and the autocorrelation.

        Args:
            scale: true over assumed variance of the residuals, [...].
            noise: standard errors by which autocorrelation and blocks are discounted; 1 while judging, 0 for a history.
        """
        k, v = np.maximum(self._sum("looks"), 1.0), self._sum("v")
        effect = _over(self._sum("t"), v)
        squares = self._sum("tt") - 2.0 * effect * self._sum("tv") + effect**2 * self._sum("vv")
        residual = np.maximum(squares, 0.0)
        lagged = self._sum("ttl") - effect * self._sum("tvl") + effect**2 * self._sum("vvl")
        rho = np.clip(_over(lagged, residual) - noise / np.sqrt(k), 0.0, HIGHEST_RHO)
        spread = _over(residual, v * scale * np.maximum(k - 1.0, 1.0) / k) * (1.0 + rho) / (1.0 - rho)

        k, v = np.maximum(self._sum("blocks"), 1.0), self._sum("block_v")
        effect = _over(self._sum("block_t"), v)
        squares = self._sum("block_tt") - 2.0 * effect * self._sum("block_tv") + effect**2 * self._sum("block_vv")
        by_block = _over(np.maximum(squares, 0.0), v * scale * np.maximum(k - 1.0, 1.0) / k)
        by_block *= np.maximum(1.0 - noise * np.sqrt(2.0 / k), 0.0)
        return np.maximum(spread, by_block), rho

    def phi(self, prior: Prior, level: Array, scale: Array) -> Array:
        """Dispersion as estimated now, shrunk to the prior; at least 1."""
        weight, expected = prior.looks, np.maximum(prior.phi(level * self.information()), 1.0)
        seen = np.maximum(self._sum("looks") - 1.0, 0.0)
        observed, _ = self.observed(scale, noise=1.0)
        return np.maximum((weight * expected + seen * observed) / (weight + seen), 1.0)

    def remember(self, phi: Array, present: Mask) -> Dispersion:
        """Keep this look's estimate for use ``LAG`` looks later."""
        recent = np.concatenate([self.recent[..., 1:], phi[..., None]], axis=-1)
        return replace(self, recent=np.where(np.asarray(present)[..., None], recent, self.recent))

    def lagged(self, prior: Prior, level: Array) -> Array:
        """The dispersion to judge by: the estimate ``LAG`` looks ago, before that the prior's."""
        oldest = self.recent[..., 0]
        return np.where(oldest > 0, oldest, np.maximum(prior.phi(level * self.information()), 1.0))

    def _sum(self, name: str) -> Array:
        column: Array = self.sums[..., _AT[name]]
        return column


def _over(top: Array, bottom: Array) -> Array:
    result: Array = np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), 0.0)
    return result
