"""How often an app may call Slack: by method, by channel, and in the whole workspace.

Slack documents tiers as "so many calls a minute or more", by app, method and workspace, one post a second to a channel,
and that a workspace has a limit of its own (docs.slack.dev/apis/web-api/rate-limits; which tier a method has is on the
method's page). It tolerates bursts, without saying how large: here there are none. The numbers it does not give are our
own, chosen low: posts in a workspace, and ``auth.test``. ``conversations.history`` is as for an app that a company
builds for itself: those sold outside of Slack's marketplace get less. Whoever keeps to these limits keeps to what is
documented; that Slack refuses nothing beyond them was never tested.

Whoever is refused is told for how long (``Retry-After``), and until then every further call of that method is refused
and noted as ``early``: of one post too many a second those to that channel, of all else those of the whole workspace.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable

TIERS = {
    "chat.update": 50, "chat.postEphemeral": 100, "views.open": 100, "users.info": 100, "users.lookupByEmail": 50,
    "usergroups.users.list": 20,
    "conversations.history": 50, "auth.test": 100, "apps.connections.open": 1,
}  # fmt: skip
"""Calls a minute: what a tier allows at least."""
POSTS_PER_SECOND = 1
"""In one channel."""
POSTS_PER_MINUTE = 300
"""In all channels of the workspace together: our own number, for a limit that Slack names without one."""
RESPONSE = "response_url"
"""Stands for the answers at all of them: no method, and without a limit that Slack would document."""


class Rates:
    """Counts calls; ``second`` tells how long one of Slack's seconds lasts now."""

    def __init__(self, second: Callable[[], float], posts_per_minute: int) -> None:
        self._second = second
        self._posts_per_minute = posts_per_minute
        self._times: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._forced: list[tuple[str, int]] = []
        self._held: dict[tuple[str, str], float] = {}
        """Method, and channel or none -> when its pause is over."""
        self.early: list[str] = []
        """Calls that came before their pause was over, in order. One that was under way when the pause was asked for
        counts: from outside it looks the same."""

    def force(self, method: str, seconds: int, times: int) -> None:
        """Refuse the next calls of a method: each asks for a pause of its own, once the one before is over."""
        self._forced += [(method, seconds)] * times

    def wait(self, method: str, channel: str) -> int:
        """Seconds to wait; 0: it may, and counts."""
        now = self._now()
        ends = max(self._held.get((method, where), 0.0) for where in ("", channel))
        if now < ends:
            left = (ends - now) / self._second()
            self.early.append(f"{method} {channel}".rstrip() + f": {left:.3g} s before its pause was over")
            return math.ceil(left)
        for number, (forced, seconds) in enumerate(self._forced):
            if forced == method:
                del self._forced[number]
                return self._hold(method, "", seconds)
        limits = [("", TIERS.get(method, 20), 60.0)]
        if method == "chat.postMessage":
            limits = [(channel, POSTS_PER_SECOND, 1.0), ("", self._posts_per_minute, 60.0)]
        elif method == RESPONSE:
            limits = []
        waits = [(self._over(method, where, most, seconds), where) for where, most, seconds in limits]
        longest, of = max(waits, default=(0, ""))
        if longest:
            return self._hold(method, of, longest)
        for where, _, _ in limits:
            self._times[method, where].append(now)
        return 0

    def _hold(self, method: str, where: str, seconds: int) -> int:
        self._held[method, where] = self._now() + seconds * self._second()
        return seconds

    def _over(self, method: str, channel: str, most: int, seconds: float) -> int:
        now, times = self._now(), self._times[method, channel]
        times[:] = [at for at in times if now - at < seconds * self._second()]
        if len(times) < most:
            return 0
        return max(math.ceil((times[0] - now) / self._second() + seconds), 1)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
