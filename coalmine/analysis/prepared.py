"""What follows from a judge alone is made once: a worker judges the same few rollouts look after look."""

from __future__ import annotations

from collections import deque

from coalmine.analysis.comparison import Comparison
from coalmine.records import Judge

_KEPT = 16
_made: deque[Comparison] = deque(maxlen=_KEPT)


def comparison_of(judge: Judge) -> Comparison:
    """The comparison of this judge; made anew, or one that was made of an equal judge."""
    for made in tuple(_made):
        if made.judge == judge:
            return made
    # A copy, so that whoever changes the judge afterwards does not change what is kept.
    comparison = Comparison(judge.model_copy(deep=True))
    _made.appendleft(comparison)
    return comparison
