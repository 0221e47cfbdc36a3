"""How often an app may call Slack: by method, by channel, and in the whole workspace.

Slack documents tiers as "so many calls a minute or more", by app, method and workspace, one post a second to a channel,
and that a workspace has a limit of its own (docs.slack.dev/apis/web-api/rate-limits; which tier a method has is on the
method's page). It tolerates bursts, without saying how large: here there are none. The numbers it does not give are our
own, chosen low: posts in a workspace, and ``auth.test``. ``conversations.history`` is as for an app that a company
builds for itself: those sold outside of Slack's marketplace get less. Whoever keeps to these limits keeps to what is
documented; that Slack refuses nothing beyond them was never tested.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict

TIERS = {
    "chat.update": 50, "chat.postEphemeral": 100, "views.open": 100, "users.info": 100, "usergroups.users.list": 20,
    "conversations.history": 50, "auth.test": 100, "apps.connections.open": 1,
}  # fmt: skip
"""Calls a minute: what a tier allows at least."""
POSTS_PER_SECOND = 1
"""In one channel."""
POSTS_PER_MINUTE = 300
"""In all channels of the workspace together: our own number, for a limit that Slack names without one."""


class Rates:
    """Counts calls; ``second`` is how long one of Slack's seconds lasts."""

    def __init__(self, second: float, posts_per_minute: int) -> None:
        self._second = second
        self._posts_per_minute = posts_per_minute
        self._times: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._forced: list[tuple[str, int]] = []

    def force(self, method: str, seconds: int, times: int) -> None:
        """Refuse the next calls of a method."""
        self._forced += [(method, seconds)] * times

    def wait(self, method: str, channel: str) -> int:
        """Seconds to wait; 0: it may, and counts."""
        for number, (forced, seconds) in enumerate(self._forced):
            if forced == method:
                del self._forced[number]
                return seconds
        limits = [("", TIERS.get(method, 20), 60.0)]
        if method == "chat.postMessage":
            limits = [(channel, POSTS_PER_SECOND, 1.0), ("", self._posts_per_minute, 60.0)]
        waits = [self._over(method, where, most, seconds) for where, most, seconds in limits]
        if not any(waits):
            now = asyncio.get_running_loop().time()
            for where, _, _ in limits:
                self._times[method, where].append(now)
        return max(waits)

    def _over(self, method: str, channel: str, most: int, seconds: float) -> int:
        now, times = asyncio.get_running_loop().time(), self._times[method, channel]
        times[:] = [at for at in times if now - at < seconds * self._second]
        if len(times) < most:
            return 0
        return max(math.ceil((times[0] - now) / self._second + seconds), 1)
