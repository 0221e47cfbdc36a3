"""Evidence a worker wrote itself need not be unpacked again: what was packed is kept beside it.

A worker sees the same few rollouts look after look. What is recalled equals what would be read, so whether it was kept
changes no decision.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from coalmine.analysis.comparison import Comparison, ComparisonState
from coalmine.analysis.sample_ratio import SampleRatio
from coalmine.analysis.state import Rounded, settled

_KEPT = 16


@dataclass(frozen=True)
class _Written:
    core: Comparison
    written: dict[str, Any]
    state: ComparisonState
    rounded: Rounded
    ratio: SampleRatio


_kept: deque[_Written] = deque(maxlen=_KEPT)


def keep(
    core: Comparison, written: dict[str, Any], state: ComparisonState, rounded: Rounded, ratio: SampleRatio
) -> None:
    """Keep what ``written`` was written from, at the look of ``state``; ``rounded`` are the arrays of the state."""
    _kept.appendleft(_Written(core, _copied(written), state, rounded, ratio))


def recall(core: Comparison, written: dict[str, Any]) -> tuple[ComparisonState, SampleRatio] | None:
    """What reading ``written`` would give; None when it was not kept, or is another's."""
    for one in tuple(_kept):
        if one.core is core and one.written == written:
            return one.rounded.read(one.state), settled(one.ratio, one.state.looks)
    return None


def _copied(part: Any) -> Any:
    """So that whoever changes what was written does not change what is recalled."""
    if isinstance(part, dict):
        return {name: _copied(value) for name, value in part.items()}
    return [*part] if isinstance(part, list) else part
