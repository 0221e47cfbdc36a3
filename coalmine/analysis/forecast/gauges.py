"""When a gauge's difference will be shown: the judge's own bounds on the sums its blocks are expected to have.

The sum of the blocks' differences is followed, less what is allowed. How large it must be by each block follows from
the judge's formulas, with the variance it will have estimated by then; that estimate scatters, and much of it is luck
of a whole run, so runs of several lucks are followed and averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from coalmine.analysis.forecast.course import EACH_LOOK, GROUP
from coalmine.analysis.forecast.passage import ENOUGH, first_passage
from coalmine.analysis.grids import Array, Integers, Mask
from coalmine.analysis.value import EVERY, FEWEST_BLOCKS, ValueMetric, ValueState, process_numbers

_LUCKS = ndtri((np.arange(5) + 0.5) / 5)
"""Equally likely runs, by how far an estimate is from its expectation, in standard deviations."""
_FIRST = 60
"""Moments that are followed first; the rest only when they have not shown it."""
_TURNS = 24
_FARTHEST = 60.0
"""Standard deviations of a block between which the mean is looked for."""


@dataclass(frozen=True)
class Gauge:
    """A gauge that is only planned; all levels in units of the baseline's, so that it is 1."""

    judge: ValueMetric
    """Its tolerance in these units too."""
    noise: float
    """Standard deviation of a block's difference between the versions."""

    def harm(self, excess: float, needed: float, blocks: int) -> tuple[Integers, Array]:
        """When a canary that is worse by ``excess`` is seen.

        Args:
            excess: how much worse the canary is.
            needed: ``ln E`` that is enough.
            blocks: how many are followed at most.

        Returns:
            Moments, in blocks, and the chance that it has been enough by each.
        """
        return self._passage(excess, self.judge.margin - 1.0, needed, blocks, proof=False)

    def no_harm(self, needed: float, blocks: int) -> tuple[Integers, Array]:
        """When a canary like the baseline is shown to be without harm; as ``harm``."""
        return self._passage(0.0, self.judge.no_harm - 1.0, needed, blocks, proof=True)

    def _passage(
        self, excess: float, relative: float, needed: float, blocks: int, *, proof: bool
    ) -> tuple[Integers, Array]:
        at = _followed(blocks)
        found = self._first(at[:_FIRST], excess, relative, needed, proof=proof)
        # What is within its allowance is not caught later either.
        beyond = proof or excess > max(relative, self.judge.tolerance)
        if found[-1] < ENOUGH and at.size > _FIRST and beyond:
            found = self._first(at, excess, relative, needed, proof=proof)
        return at, np.concatenate([found, np.full(at.size - found.size, found[-1])])

    def _first(self, at: Integers, excess: float, relative: float, needed: float, *, proof: bool) -> Array:
        allowed = max(relative, self.judge.tolerance)
        # Both versions scatter alike; what a margin allows moves with the baseline, up or down as the harm does.
        part = relative if relative >= self.judge.tolerance else 0.0
        variance = self.noise**2 * (1.0 + (1.0 - part if self.judge.down else 1.0 + part) ** 2) / 2.0
        steps = np.diff(at, prepend=0).astype(float)
        drift = (allowed - excess) if proof else (excess - allowed)
        chance = np.zeros(at.size)
        boundary = self._boundary(at, variance, allowed, needed, proof=proof)
        for one in boundary:
            chance += first_passage(steps * drift, steps * variance, at * one, whole=False)
        result: Array = chance / boundary.shape[0]
        return result

    def _boundary(self, at: Integers, variance: float, allowed: float, needed: float, *, proof: bool) -> Array:
        """How far beyond what is allowed the mean must be, by luck and moment, [L, T]."""
        spread, lagged = (values.reshape(-1) for values in _scatter(at))
        shape = (_LUCKS.size**2, at.size)
        blocks = np.broadcast_to(at, shape).reshape(-1).astype(float)
        deviation = np.sqrt(variance)
        low, high = (np.full(blocks.size, sign * _FARTHEST * deviation) for sign in (-1.0, 1.0))

        def enough(away: Array) -> Mask:
            difference = allowed - away if proof else allowed + away
            weighed = self.judge.weigh(self._state(blocks, difference, spread * variance, lagged))
            found: Mask = (weighed.no_harm if proof else weighed.harm) >= needed
            return found

        never = ~enough(high)
        for _ in range(_TURNS):
            middle = 0.5 * (low + high)
            there = enough(middle)
            low, high = np.where(there, low, middle), np.where(there, middle, high)
        result: Array = np.where(never, np.inf, high).reshape(shape)
        return result

    def _state(self, blocks: Array, difference: Array, spread: Array, lagged: Array) -> ValueState:
        """What the judge will hold after so many blocks with this mean difference; the baseline's level is 1."""
        number = process_numbers(blocks)
        inside = np.where(number >= 0, blocks[:, None] - EVERY * number, 0.0)
        one, zero = np.ones_like(inside), np.zeros_like(blocks)
        noise = [
            np.stack([difference - part, zero, zero, spread, lagged * spread], axis=-1) for part in self.judge.parts
        ]
        return ValueState(
            exponent=zero,
            scaled=zero + 1.0,
            blocks=blocks,
            open=np.zeros((blocks.size, 3)),
            means=np.stack([inside, difference[:, None] * one, one, one], axis=-1),
            noise=np.stack(noise, axis=1),
        )


def _followed(blocks: int) -> Integers:
    at = [FEWEST_BLOCKS]
    while at[-1] < blocks:
        at.append(min(blocks, at[-1] + max(1, int((at[-1] - EACH_LOOK) * GROUP))))
    return np.array(at, np.int64)


def _scatter(at: Integers) -> tuple[Array, Array]:
    """The sum of squares about the mean over the variance, and the share of it of neighbours' products, [L, T]."""
    free = at - 1.0
    of_spread, of_lagged = (luck.reshape(-1, 1) for luck in np.meshgrid(_LUCKS, _LUCKS))
    # Wilson and Hilferty (1931) for the variance; a serial correlation of no correlation has mean -1/n, variance 1/n.
    part = 2.0 / (9.0 * free)
    spread = free * np.maximum(1.0 - part + of_spread * np.sqrt(part), 0.0) ** 3
    return spread, -1.0 / at + of_lagged / np.sqrt(at)
