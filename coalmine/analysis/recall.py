"""Evidence a worker wrote itself need not be unpacked again: what was packed is kept beside it, until the next look.

A worker sees the same few rollouts look after look. What is recalled equals what would be read, so whether it was kept
changes no decision: a look that is tried again unpacks it.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from coalmine.analysis.comparison import Comparison, ComparisonState
from coalmine.analysis.sample_ratio import SampleRatio
from coalmine.analysis.state import Rounded

_KEPT = 16


@dataclass(frozen=True)
class Whole:
    """All that a comparison's evidence holds of one run."""

    state: ComparisonState
    ratio: SampleRatio


@dataclass(frozen=True, eq=False)
class _Written:
    core: Comparison
    written: dict[str, Any]
    whole: Whole
    rounded: Rounded


_kept: deque[_Written] = deque(maxlen=_KEPT)


def keep(core: Comparison, written: dict[str, Any], whole: Whole, rounded: Rounded) -> None:
    """Keep what ``written`` was written from; ``rounded`` are the arrays of the whole."""
    _kept.appendleft(_Written(core, _copied(written), whole, rounded))


def recall(core: Comparison, written: dict[str, Any]) -> Whole | None:
    """What reading ``written`` would give; None when it was not kept, or is another's."""
    for one in tuple(_kept):
        if one.core is core and one.written == written:
            # The next look's takes its place, in memory as well: old states would only push new ones out of the cache.
            with suppress(ValueError):
                _kept.remove(one)
            return one.rounded.read(one.whole)
    return None


def _copied(part: Any) -> Any:
    """So that whoever changes what was written does not change what is recalled."""
    if isinstance(part, dict):
        return {name: _copied(value) for name, value in part.items()}
    return [*part] if isinstance(part, list) else part
