"""The looks of a rollout that is only planned: when they are, at which weight, and what each invests.

The first looks are followed one by one; later ones in groups that grow by a thirtieth of the looks so far, so that
a month of looks costs no more than an hour of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from coalmine.analysis import mixture
from coalmine.analysis.grids import Array, Integers

EACH_LOOK = 40
"""Looks that are all followed, one by one."""
GROUP = 0.03
"""Later looks are followed in groups of this part of the looks before them."""


@dataclass(frozen=True)
class Stretch:
    """Looks in a row at one weight; ``share`` is the canary's, 0-1. A step begins a stretch of its own."""

    looks: int
    share: float


@dataclass(frozen=True, eq=False)
class Course:
    """A plan's looks at the moments [T] that are followed, over its stretches [G]."""

    share: Array
    """The canary's share of the requests, [G]."""
    at: Integers
    """Looks taken by each moment, rising, [T]."""
    looks: Integers
    """Looks of each stretch by then, [T, G]."""
    first: Array
    """Cash the first look of each stretch invests, [G]."""
    later: Array
    """Cash its further looks have invested by then, [T, G]."""
    unspent: Array
    """Cash not invested yet, [T]."""

    @property
    def size(self) -> int:
        """How many moments are followed."""
        return int(self.at.size)

    def lagged(self, looks: int) -> Integers:
        """Looks of each stretch so many looks before each moment, [T, G]."""
        lengths = self.looks[-1]
        starts = np.cumsum(lengths) - lengths
        result: Integers = np.clip(self.at[:, None] - looks - starts, 0, self.looks)
        return result

    def upto(self, moment: int) -> Course:
        """The same, followed to a moment and no further."""
        end = slice(0, moment + 1)
        return replace(self, at=self.at[end], looks=self.looks[end], later=self.later[end], unspent=self.unspent[end])

    def elapsed(self) -> Integers:
        """Looks between each moment and the one before it, by stretch, [T, G]."""
        return np.diff(self.looks, axis=0, prepend=np.zeros((1, self.share.size), np.int64)).astype(np.int64)


def chart(stretches: Sequence[Stretch], planned: int, marks: Sequence[int] = ()) -> Course:
    """The course through these stretches.

    Args:
        stretches: in order, each of at least one look.
        planned: looks the plan has; those beyond it are extensions, as the judge is told.
        marks: further looks that are to be followed.
    """
    ends = np.cumsum([stretch.looks for stretch in stretches])
    total = int(ends[-1])
    at = _followed(total, [*ends, *marks])
    starts = ends - [stretch.looks for stretch in stretches]
    looks = np.clip(at[:, None] - starts, 0, [stretch.looks for stretch in stretches])
    weights = _cash(total, planned, set(starts[1:].tolist()))
    spent = np.concatenate([[0.0], np.cumsum(weights)])
    first = weights[starts]
    upto, since = spent[np.clip(at[:, None], starts, ends)], spent[starts + 1]
    return Course(
        share=np.array([stretch.share for stretch in stretches]),
        at=at,
        looks=looks.astype(np.int64),
        first=first,
        later=np.where(looks > 1, np.maximum(upto - since, 0.0), 0.0),
        unspent=np.maximum(1.0 - spent[at], 0.0),
    )


def _followed(total: int, marks: Sequence[int]) -> Integers:
    at = list(range(1, min(total, EACH_LOOK) + 1))
    while at[-1] < total:
        at.append(min(total, at[-1] + max(1, int(at[-1] * GROUP))))
    return np.union1d(np.array(at), np.array(marks)).astype(np.int64)


def _cash(total: int, planned: int, new_steps: set[int]) -> Array:
    weights, spent = np.zeros(total), 0.0
    for done in range(total):
        weights[done] = mixture.invest(spent, done + 1, planned, new_step=done in new_steps, extension=done >= planned)
        spent = min(1.0, spent + weights[done])
    return weights
