"""The upright axis of an effect: logarithmic for ratios to the baseline, linear for differences from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from coalmine.report.story import Point
from coalmine.report.words import effect

WIDEST = 32.0
"""A ratio's axis reaches at most from 1/32 to 32; what lies beyond is drawn at its edge."""
_TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0)


class Axis(Protocol):
    """Where effects stand between the bottom (0) and the top (1) of a plot."""

    @property
    def same(self) -> float:
        """The effect of a canary that is like the baseline."""
        ...

    def share(self, value: float) -> float:
        """Of an effect; what is beyond 0 or 1 belongs at the edge."""
        ...

    def ticks(self) -> list[float]:
        """Effects that are labelled, lowest first."""
        ...

    def text(self, value: float) -> str:
        """An effect as the page writes it."""
        ...

    def draws(self, margin: float | None) -> bool:
        """Whether a margin can be drawn."""
        ...


@dataclass(frozen=True)
class RatioAxis:
    """From ``1 / reach`` to ``reach``."""

    reach: float
    kind: str
    same: float = 1.0

    def share(self, value: float) -> float:
        """On the logarithm."""
        return (math.log(max(value, 1e-12)) / math.log(self.reach) + 1) / 2

    def ticks(self) -> list[float]:
        """Round ratios that do not crowd, 1 among them."""
        inside = [tick for tick in _TICKS if 1 / self.reach <= tick <= self.reach]
        kept: list[float] = []
        for tick in sorted(inside, key=lambda tick: (tick != 1.0, abs(math.log(tick)))):
            if all(abs(math.log(tick / other)) > math.log(self.reach) / 5 for other in kept):
                kept.append(tick)
        return kept

    def text(self, value: float) -> str:
        """``×1.25``."""
        return effect(value, self.kind)

    def draws(self, margin: float | None) -> bool:
        """Ratios are above 0."""
        return margin is not None and margin > 0


@dataclass(frozen=True)
class DifferenceAxis:
    """From ``-reach`` to ``reach``, in the metric's own unit."""

    reach: float
    kind: str
    same: float = 0.0

    def share(self, value: float) -> float:
        """Linear."""
        return (value / self.reach + 1) / 2

    def ticks(self) -> list[float]:
        """The zero and two round numbers either way."""
        step = 10.0 ** math.floor(math.log10(self.reach / 2))
        step *= max(factor for factor in (1.0, 2.0, 5.0) if 2 * step * factor <= self.reach or factor == 1.0)
        return [step * number for number in range(-2, 3) if abs(step * number) <= self.reach]

    def text(self, value: float) -> str:
        """``+0.12``."""
        return effect(value, self.kind)

    def draws(self, margin: float | None) -> bool:
        """Any difference."""
        return margin is not None


def axis_of(points: Sequence[Point], kind: str) -> Axis:
    """The axis that fits what a metric showed.

    Args:
        points: in order of looks.
        kind: of the metric.
    """
    # The first looks know next to nothing: their wide intervals must not flatten all that follows.
    settled = points[len(points) // 4 :]
    shown = [end for p in settled for end in (p.effect, p.low, p.high) if end is not None]
    if kind == "value":
        largest = max((abs(value) for value in (*shown, *(p.margin or 0.0 for p in points))), default=0.0)
        return DifferenceAxis(largest * 1.1 or 1.0, kind)
    ratios = [1.0, *(p.margin * 1.3 for p in points if p.margin is not None and p.margin > 0)]
    ratios += [value for value in shown if value > 0]
    spread = max(max(ratio, 1 / ratio) for ratio in ratios)
    return RatioAxis(min(max(spread * 1.05, 1.5), WIDEST), kind)
