"""The noise of all channels of a look, folded in at once: the arrays are small, so it is the calls that take time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coalmine.analysis.dispersion import Dispersion
from coalmine.analysis.grids import Array, Mask, Numeric

_LARGE = 4_096
"""Sums of so many are not copied to be beside others: their arrays are long already."""


@dataclass(frozen=True)
class _Part:
    before: Dispersion
    after: Dispersion
    """Of the same shape; holds nothing yet."""
    look: tuple[Array, Array, Array, Array]
    """Residual, variance, information at unit variance and scale."""
    present: Mask

    @property
    def shape(self) -> tuple[int, ...]:
        return self.before.sums.shape[:-1]

    def fill(self, found: Dispersion, start: int, end: int) -> None:
        """With a part of what was found for many, [N, ...]."""
        for into, values in ((self.after.sums, found.sums), (self.after.recent, found.recent)):
            into[...] = values[start:end].reshape(into.shape)


class Noises:
    """What the parts of one look say of their noise, until all of them have said it."""

    def __init__(self, block: int) -> None:
        self._block = block
        """Looks per minute."""
        self._parts: list[_Part] = []

    def fold(self, before: Dispersion, look: tuple[Array, Array, Array, Array], present: Mask) -> Dispersion:
        """As ``Dispersion.fold``, but what is returned holds nothing before ``settle``."""
        if before.sums.size > _LARGE:
            return before.fold(look, self._block, present)
        after = Dispersion(np.empty(before.sums.shape), np.empty(before.recent.shape))
        self._parts.append(_Part(before, after, look, present))
        return after

    def settle(self) -> None:
        """Fold all of them in."""
        if not self._parts:
            return
        shapes = [part.shape for part in self._parts]
        before = Dispersion(
            np.concatenate([part.before.sums.reshape(-1, part.before.sums.shape[-1]) for part in self._parts]),
            np.concatenate([part.before.recent.reshape(-1, part.before.recent.shape[-1]) for part in self._parts]),
        )
        t, v, unit, scale = (_beside([part.look[row] for part in self._parts], shapes) for row in range(4))
        present = _beside([part.present for part in self._parts], shapes)
        found = before.fold((t, v, unit, scale), self._block, present)
        start = 0
        for part in self._parts:
            end = start + part.after.sums.size // part.after.sums.shape[-1]
            part.fill(found, start, end)
            start = end
        self._parts = []


def _beside(rows: Sequence[Numeric], shapes: Sequence[tuple[int, ...]]) -> Numeric:
    """One behind the other, each of its shape."""
    whole: list[Numeric] = []
    for row, shape in zip(rows, shapes, strict=True):
        if row.shape != shape:
            # In place of ``numpy.broadcast_to``, which takes five times as long.
            narrow, row = row, np.empty(shape, row.dtype)
            row[...] = narrow
        whole.append(row.reshape(-1))
    return np.concatenate(whole)
