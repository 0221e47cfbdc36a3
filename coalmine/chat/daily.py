"""Sending the digest of the day: once, at its hour; what Slack does not take is sent again, ever less often."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from coalmine.chat import digest
from coalmine.chat.follow import Follower
from coalmine.chat.lately import closed_in
from coalmine.chat.memory import Memory, Override
from coalmine.chat.outbox import Outbox
from coalmine.chat.reach import Reach
from coalmine.chat.settings import Digest
from coalmine.chat.web import Slack, SlackBusy, SlackRefused
from coalmine.errors import CoalmineError

EVERY = 20.0
"""Seconds between two looks at the clock, and before the first try again."""
LONGEST_PAUSE = 600.0
"""Seconds between two tries, however many failed."""
STALE = timedelta(hours=1)
"""A digest that could not be sent for so long is made anew: who waits for whom has changed."""
_DAY, _UNTIL = "digest", "digest until"
_log = logging.getLogger("coalmine.chat")


@dataclass(frozen=True)
class _Made:
    """A digest that is ready to be sent."""

    day: date
    text: str
    span: digest.Span
    told: list[Override]


class Daily:
    """The digest of one workspace. ``begin``, then ``keep`` until the app ends."""

    def __init__(
        self, wanted: Digest, reach: Reach, follower: Follower, memory: Memory, outbox: Outbox, slack: Slack
    ) -> None:
        """``wanted``: when, and where to."""
        self._wanted, self._reach, self._follower = wanted, reach, follower
        self._memory, self._outbox, self._slack = memory, outbox, slack
        self._made: _Made | None = None
        self._said = ""
        """What is wrong, as it was told last: it is told once."""
        self._failures = 0

    def begin(self, now: datetime) -> None:
        """On the first day there is none of hours that nobody followed."""
        if not self._memory.note(_DAY):
            day = digest.due(self._wanted, now, "")
            self._memory.set_note(_DAY, day.isoformat() if day else "none")

    async def keep(self) -> None:
        """Send each at its hour, until cancelled."""
        while True:
            await asyncio.sleep(await self.turn(datetime.now(UTC)))

    async def turn(self, now: datetime) -> float:
        """Send it if it is due; the seconds until the next turn. What is wrong is logged once, until it is over."""
        try:
            if await self.send(now) and self._said:
                _log.info("the digest was sent")
            # Also where none is due any more.
            self._failures, self._said = 0, ""
            return EVERY
        except CoalmineError as error:
            self._tell(error)
            least = error.seconds if isinstance(error, SlackBusy) else 0.0
        except Exception as error:
            least = 0.0
            if repr(error) != self._said:
                _log.exception("the digest failed")
            self._said = repr(error)
        self._failures += 1
        return max(min(EVERY * 2.0 ** (self._failures - 1), LONGEST_PAUSE), least)

    def _tell(self, error: CoalmineError) -> None:
        # The seconds of a pause are others each time: that Slack limits us is the same.
        said = "limited" if isinstance(error, SlackBusy) else str(error)
        if said != self._said:
            if isinstance(error, SlackRefused):
                mend = f": {error.mend}" if error.mend else ""
                _log.error("digest.channel: %s: %s%s; it is tried again", self._wanted.channel, error, mend)
            else:
                _log.warning("the digest waits: %s", error)
        self._said = said

    async def send(self, now: datetime) -> bool:
        """Send the digest of the day, when its time has come and it was not sent yet; whether it was.

        Raises:
            CoalmineError: Slack or Temporal do not answer, or Slack refuses it: it is to be tried again.
        """
        day = digest.due(self._wanted, now, self._memory.note(_DAY))
        if day is None:
            return False
        made = self._made
        # Made once: to make one, each rollout that closed is asked.
        if made is None or made.day != day or now - made.span.until > STALE:
            made = self._made = await self._make(day, now)
        channel = self._wanted.channel
        await self._outbox.before_post(channel)
        try:
            await self._slack.call("chat.postMessage", channel=channel, text=made.text, unfurl_links=False)
        finally:
            self._outbox.posted(channel)
        self._memory.set_digested(made.told, before=made.span.heard_since)
        self._memory.set_note(_UNTIL, made.span.until.isoformat())
        self._memory.set_note(_DAY, day.isoformat())
        self._made = None
        return True

    async def _make(self, day: date, now: datetime) -> _Made:
        rollouts = await self._reach()
        # Right after the start nothing is known yet of what is open.
        await self._follower.caught_up.wait()
        span = digest.span(now, self._memory.note(_UNTIL))
        closed = await closed_in(rollouts, span, self._follower.settings)
        # Those of rollouts that are followed are kept already.
        self._memory.keep_overrides(digest.overrides([entry for _, found in closed for entry in found]))
        told = self._memory.overrides(span.heard_since, span.until)
        since = span.since.astimezone(ZoneInfo(self._wanted.zone)) if span.late else None
        went = Counter(one.kind for one in told)
        text = digest.text(day, [status for status, _ in closed], self._follower.open_statuses(), went, since)
        return _Made(day, text, span, told)
