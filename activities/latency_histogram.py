"""Latency percentiles in constant memory: counts in buckets that grow by one percent."""

from __future__ import annotations

import math

SMALLEST = 1e-5
"""Seconds; everything shorter shares the first bucket."""
LARGEST = 3600.0
GROWTH = 1.01
"""Upper over lower bound of a bucket: a percentile is at most 1 % too high."""

_PER_LOG = 1 / math.log(GROWTH)
_BUCKETS = math.ceil(math.log(LARGEST / SMALLEST) * _PER_LOG) + 2


class LatencyHistogram:
    """Counts of latencies; ``maximum`` is exact."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.maximum = 0.0

    def add(self, seconds: float) -> None:
        """Count one latency."""
        place = math.ceil(math.log(seconds / SMALLEST) * _PER_LOG) if seconds > SMALLEST else 0
        self._counts[min(place, _BUCKETS - 1)] += 1
        self.count += 1
        self.maximum = max(self.maximum, seconds)

    def percentile(self, share: float) -> float:
        """The latency, in seconds, that ``share`` (0-1) of all are at or below; 0 when nothing was counted."""
        rank, seen = math.ceil(share * self.count), 0
        for place, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                return min(SMALLEST * GROWTH**place, self.maximum)
        return 0.0
