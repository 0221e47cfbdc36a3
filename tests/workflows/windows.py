"""What the windows of looks have to be like."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from coalmine.records import Window


def seconds(window: Window) -> float:
    """Length of a window."""
    return (window.end - window.start) / timedelta(seconds=1)


def tiles(windows: list[Window]) -> bool:
    """Whether each window starts where the one before it ended."""
    return all(left.end == right.start for left, right in pairwise(windows))
