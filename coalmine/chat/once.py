"""What was taken already: Slack sends a request again whose answer it did not get, and people click twice."""

from __future__ import annotations

import time
from collections.abc import Callable

MOST = 20_000


class Once:
    """Keys that came within ``kept`` seconds; no growth without bound."""

    def __init__(self, kept: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept = kept
        self._clock = clock
        self._seen: dict[str, float] = {}

    def first(self, key: str) -> bool:
        """Whether this key is new; it is not, from then on."""
        now = self._clock()
        for old in list(self._seen):
            if now - self._seen[old] < self._kept and len(self._seen) < MOST:
                break
            del self._seen[old]
        if key in self._seen:
            return False
        self._seen[key] = now
        return True

    def forget(self, key: str) -> None:
        """It did not come to anything: the next one is the first again."""
        self._seen.pop(key, None)
