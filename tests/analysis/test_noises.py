"""Noise folded in together is that folded in one by one, to the last bit."""

from __future__ import annotations

import numpy as np

from coalmine.analysis.dispersion import Dispersion
from coalmine.analysis.noises import Noises

SHAPES = [(1, 5, 1), (1, 2, 3), (1, 1), (7, 40)]
"""The last is too large to be copied."""


def test_together_is_one_by_one() -> None:
    rng = np.random.default_rng(3)
    alone = [Dispersion.start(shape) for shape in SHAPES]
    joined = [*alone]
    for _ in range(15):
        noises, after = Noises(block=6), []
        for at, shape in enumerate(SHAPES):
            t, v, unit = rng.standard_normal(shape), rng.uniform(0.0, 3.0, shape), rng.uniform(0.0, 9.0, shape)
            look = (t, v, unit, np.ones(shape[-1]))
            present = rng.random((*shape[:-1], 1)) < 0.8
            alone[at] = alone[at].fold(look, 6, present)
            after.append(noises.fold(joined[at], look, present))
        noises.settle()
        joined = after
    for one, other in zip(alone, joined, strict=True):
        assert np.array_equal(one.sums, other.sums)
        assert np.array_equal(one.recent, other.recent)


def test_without_channels_nothing_is_done() -> None:
    Noises(block=6).settle()
