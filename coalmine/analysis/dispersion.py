"""How much noisier than pure counting a channel is, in the long run: phi >= 1, from running sums only.

Pearson residuals about the fitted effect, times what their autocorrelation adds in the long run; never less than what
blocks of a minute show, minus one standard error; shrunk to what is known beforehand. Within an hour these sums tell
little of noise that lasts for minutes, so a history that was seen as a whole (``coalmine.analysis.correlation``) weighs
as many looks as it has, up to half an hour of looks of ten seconds.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from coalmine.analysis.grids import LAG, Array, Integers, Mask, every
from coalmine.analysis.trees import Sum

KNOWN_LOOKS = 180.0
"""With history: how many looks it weighs at most."""
SAFETY = 1.25
"""By how much the excess dispersion a history shows is enlarged."""
EARLY = 30.0
"""Without history, looks within which noise that was just seen counts at once, not only after the lag."""
COLD_PHI, COLD_LOOKS = 1.5, 5.0
"""Without history: the dispersion taken for granted, and how many looks that weighs."""
HIGHEST_RHO = 0.95


@dataclass(frozen=True)
class Prior:
    """What is known of channels' noise before the first look; ``tau2`` and ``known`` broadcast to their shape."""

    tau2: Array
    known: Mask
    seen: float = KNOWN_LOOKS
    """Looks the history has."""
    bounds: Array | None = None
    """Of a histogram's channels, the bound each was learnt at in seconds, of the shape of ``tau2``; nan where the
    history does not say it; None where it says none."""
    least: Array | float = 0.0
    """Information per look at which ``tau2`` was learnt, of its shape."""

    def phi(self, information: Array) -> Array:
        """Expected dispersion at this much information per look."""
        expected: Array = 1.0 + SAFETY * self.tau2 * carried(information, self.least)
        return expected if self.certain else np.where(self.known, expected, COLD_PHI)

    @cached_property
    def certain(self) -> bool:
        """All channels are known."""
        return every(self.known)

    @property
    def alike(self) -> Hashable:
        """What must be the same for channels of several metrics to be kept in one array."""
        return tuple(self.known.tolist()), self.seen, self.bounds is None

    def beside(self, others: Sequence[Prior]) -> Prior:
        """This and others that are alike as one: arrays get an axis for the metrics, [..., M, C]."""
        bounds = [one.bounds for one in (self, *others) if one.bounds is not None]
        return replace(
            self,
            tau2=np.stack([self.tau2, *(other.tau2 for other in others)], axis=-2),
            least=np.stack([one.learnt_from() for one in (self, *others)], axis=-2),
            bounds=np.stack(bounds, axis=-2) if bounds else None,
        )

    def of(self, runs: Integers) -> Prior:
        """Of some runs of a batch: arrays [S, C]."""
        bounds = None if self.bounds is None else self.bounds[runs]
        return replace(self, tau2=self.tau2[runs], bounds=bounds, least=self.learnt_from()[runs])

    def part(self, channels: slice) -> Prior:
        """Of some of the channels (the last axis)."""
        bounds = None if self.bounds is None else self.bounds[..., channels]
        least = self.learnt_from()[..., channels]
        return replace(self, tau2=self.tau2[..., channels], known=self.known[..., channels], bounds=bounds, least=least)

    def learnt_from(self) -> Array:
        """``least``, of the shape of ``tau2``."""
        return np.broadcast_to(np.asarray(self.least, float), self.tau2.shape)

    def looks(self) -> Array:
        """How many looks the prior weighs."""
        return np.where(self.known, min(KNOWN_LOOKS, self.seen), COLD_LOOKS)


def carried(information: Array, least: Array | float) -> Array:
    """What a history's noise is multiplied by with this much information, ``least`` being what it was learnt from.

    Shocks of one arm grow with the information; events that come in clusters are as noisy with any. Which of them it
    saw a history does not tell: with less information than it was learnt from, half of its noise is taken to be each.
    """
    result: Array = (information + np.maximum(information, least)) / 2.0
    return result


_SUMS = (
    "looks", "t", "v", "tt", "tv", "vv", "last_t", "last_v", "ttl", "tvl", "vvl",
    "filled", "open_t", "open_v", "blocks", "block_t", "block_v", "block_tt", "block_tv", "block_vv",
    "unit", "unit2",
)  # fmt: skip
_AT = {name: index for index, name in enumerate(_SUMS)}
(
    _LOOKS, _T, _V, _, _, _, _LAST_T, _LAST_V, _TTL, _TVL, _VVL,
    _FILLED, _OPEN_T, _OPEN_V, _BLOCKS, _BLOCK_T, _BLOCK_V, _, _, _,
    _UNIT, _UNIT2,
) = range(len(_SUMS))  # fmt: skip
_APART = _AT["blocks"] - _AT["looks"]
"""The same six sums of looks and of blocks lie so far apart: number, T, V, and their products."""
_OF_BOTH = tuple(slice(at, at + _APART + 1, _APART) for at in range(6))


@dataclass(frozen=True)
class Dispersion:
    """Running sums over looks of a residual T and its variance V, for channels of any shape [...].

    Held in one array, in the order of ``_SUMS``: of T, V and their products; of products with the look before (``ttl``
    is T times the last T); the same of blocks of a minute; of the information at unit variance and its square.
    """

    sums: Sum
    """[..., 22]"""
    recent: Sum
    """What the last looks showed, newest last, before it is shrunk to a prior: [..., LAG + 1]; 0 = none yet."""

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
        full = (filled >= block).astype(float)
        keep = 1.0 - full
        # Row by row into one array, which is added at once: half of all calls of a look are made here otherwise.
        fresh = np.zeros((len(_SUMS), *open_t.shape))
        fresh[_LOOKS] = 1.0
        fresh[_T], fresh[_V], fresh[_UNIT] = t, v, unit
        _products(fresh, _T)
        np.multiply(t, last_t, out=fresh[_TTL])
        np.add(t * last_v, v * last_t, out=fresh[_TVL])
        np.multiply(v, last_v, out=fresh[_VVL])
        fresh[_BLOCKS] = full
        np.multiply(full, open_t, out=fresh[_BLOCK_T])
        np.multiply(full, open_v, out=fresh[_BLOCK_V])
        _products(fresh, _BLOCK_T)
        np.multiply(unit, unit, out=fresh[_UNIT2])
        sums = self.sums + fresh.transpose(*range(1, fresh.ndim), 0)
        sums[..., _LAST_T], sums[..., _LAST_V], sums[..., _FILLED] = t, v, filled * keep
        sums[..., _OPEN_T], sums[..., _OPEN_V] = open_t * keep, open_v * keep
        if not every(present):
            sums = np.where(present[..., None], sums, self.sums)
        return Dispersion(sums, self.recent)

    def fold(self, look: tuple[Array, Array, Array, Array], block: int, present: Mask) -> Dispersion:
        """Fold one look in, where ``present``, and keep what is seen by it.

        Args:
            look: residual, variance and information as ``add`` takes them, and the scale as ``observed`` does.
            block: looks per block.
            present: which of the batch have this look.
        """
        t, v, unit, scale = look
        after = self.add(t, v, unit, block, present)
        return after.remember(after.observed(scale, noise=1.0)[0], present)

    def information(self) -> Array:
        """Unit information of a typical look: the average that excess variance, being quadratic, goes by."""
        return self._information

    @cached_property
    def _information(self) -> Array:
        return _over(self._sum("unit2"), self._sum("unit"))

    def effect(self) -> Array:
        """How far the looks are from the margin on the whole: residual per variance."""
        return _over(self._sum("t"), self._sum("v"))

    def of_looks(self, scale: Array) -> Array:
        """Dispersion of the looks taken one by one, whatever their order."""
        return self._spreads(scale)[0][..., 0]

    def observed(self, scale: Array, noise: float) -> tuple[Array, Array]:
        """Long-run dispersion seen so far, and the autocorrelation.

        Args:
            scale: true over assumed variance of the residuals, [...].
            noise: standard errors by which autocorrelation and blocks are discounted.
        """
        spreads, squares, effects, numbers = self._spreads(scale)
        effect, k = effects[..., 0], numbers[..., 0]
        lagged = self._sum("ttl") - effect * self._sum("tvl") + effect**2 * self._sum("vvl")
        rho = _over(lagged, squares[..., 0]) - noise / np.sqrt(k)
        rho = np.minimum(np.maximum(rho, 0.0), HIGHEST_RHO)
        by_look = spreads[..., 0] * (1.0 + rho) / (1.0 - rho)
        by_block = spreads[..., 1] * np.maximum(1.0 - noise * np.sqrt(2.0 / numbers[..., 1]), 0.0)
        return np.maximum(by_look, by_block), rho

    def remember(self, observed: Array, present: Mask) -> Dispersion:
        """Keep what was seen by this look for use ``LAG`` looks later."""
        recent = np.empty(self.recent.shape)
        recent[..., :-1] = self.recent[..., 1:]
        recent[..., -1] = observed
        return Dispersion(self.sums, recent if every(present) else np.where(present[..., None], recent, self.recent))

    def lagged(self, prior: Prior, level: Array) -> Array:
        """The dispersion to judge by, at least 1: the estimate ``LAG`` looks ago shrunk to the prior.

        A new service's noise counts at once while there are few looks: a first burst would else be judged as if there
        were none, by a prior that knows nothing.

        Args:
            prior: what is known.
            level: variance of one request's event, [...]; 1 where the information says it all.
        """
        expected, looks = np.maximum(prior.phi(level * self.information()), 1.0), self._sum("looks")
        weight = prior.looks()

        def shrunk(observed: Array, seen: Array) -> Array:
            return np.maximum((weight * expected + seen * observed) / (weight + seen), 1.0)

        phi = shrunk(self.recent[..., 0], np.maximum(looks - 1.0 - LAG, 0.0))
        if prior.certain:
            return phi
        at_once = ~prior.known & (looks <= EARLY)
        now = shrunk(self.recent[..., -1], np.maximum(looks - 1.0, 0.0))
        return np.where(at_once, np.maximum(phi, now), phi)

    def _spreads(self, scale: Array) -> tuple[Array, Array, Array, Array]:
        """Of looks and blocks, each [..., 2]: dispersion, squares of the residuals about the effect, effect, number."""
        number, t, v, tt, tv, vv = (self.sums[..., both] for both in _OF_BOTH)
        k, effect = np.maximum(number, 1.0), _over(t, v)
        squares = np.maximum(tt - 2.0 * effect * tv + effect**2 * vv, 0.0)
        return _over(squares, v * scale[..., None] * np.maximum(k - 1.0, 1.0) / k), squares, effect, k

    def _sum(self, name: str) -> Array:
        column: Array = self.sums[..., _AT[name]]
        return column


def _products(rows: Array, first: int) -> None:
    """Squares and product of a residual and its variance, rows ``first`` and the next, into the three behind them."""
    residual, variance = rows[first], rows[first + 1]
    np.multiply(rows[first : first + 2], residual, out=rows[first + 2 : first + 4])
    np.multiply(variance, variance, out=rows[first + 4])


def _over(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.zeros(bottom.shape), where=bottom > 0)
