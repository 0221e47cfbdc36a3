"""Fewer points than there are looks, without hiding a peak: a page has to stay small however long a rollout lasts."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from coalmine.report.story import Point


@dataclass(frozen=True)
class Thinned:
    """The points that are shown, in order, out of ``total``."""

    points: Sequence[Point]
    total: int

    @property
    def all_shown(self) -> bool:
        """Nothing was left out."""
        return len(self.points) == self.total


def thin(points: Sequence[Point], most: int, keep: Set[int] = frozenset()) -> Thinned:
    """At most about ``most`` points: of each of equally long stretches the ones that stand out.

    Those are its first, the largest and smallest effect, the lowest and highest end of the interval, and each change of
    verdict (as M4 does for line charts: Jugel, Jerzak, Hackenbroich, Markl, VLDB 2014). Looks in ``keep`` stay,
    as far as they are no more than a third.

    Args:
        points: In order of looks.
        most: At least 18.
        keep: Numbers of looks that decided something.
    """
    if len(points) <= most:
        return Thinned(points, len(points))
    decided = [index for index, point in enumerate(points) if point.look in keep]
    wanted = {0, len(points) - 1, *_evenly(decided, most // 3)}
    turns = [i for i in range(1, len(points)) if points[i].verdict != points[i - 1].verdict]
    wanted.update(_evenly(turns, most // 6))
    stretches = max(1, (most - len(wanted)) // 5)
    for stretch in range(stretches):
        start, end = (len(points) * edge // stretches for edge in (stretch, stretch + 1))
        wanted.add(start)
        for name, best in (("effect", min), ("effect", max), ("low", min), ("high", max)):
            known = [i for i in range(start, end) if getattr(points[i], name) is not None]
            if known:
                wanted.add(best(known, key=lambda i, name=name: getattr(points[i], name)))  # type: ignore[misc]
    return Thinned([points[index] for index in sorted(wanted)], len(points))


def evenly(items: Sequence[Point], most: int) -> Thinned:
    """At most ``most`` of them for a table: the first, the last, and evenly spaced ones between."""
    return Thinned([items[index] for index in _evenly(range(len(items)), most)], len(items))


def _evenly(items: Sequence[int], most: int) -> Sequence[int]:
    if len(items) <= most:
        return items
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)] if most > 1 else items[:most]
