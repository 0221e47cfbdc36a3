"""Sending to Slack at the pace it allows, with nothing lost and no queue that grows.

What waits is not messages but the boards that have something to say (``Sender``): each sends, when its turn comes, what
is newest then. So an hour without Slack costs one entry a rollout, and nothing of its thread: that is read from the
record, after what was told last.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from coalmine.chat.web import SlackAway, SlackBusy, SlackRefused

LONGEST_PAUSE = 60.0
_log = logging.getLogger("coalmine.chat")


class Sender(Protocol):
    """Something that has things to send, one after the other."""

    @property
    def key(self) -> str:
        """Which one it is: the same key waits once."""
        ...

    async def send_next(self) -> bool:
        """Send one thing; whether there is more. Errors of ``coalmine.chat.web`` mean that it was not sent."""
        ...

    def give_up(self, refused: SlackRefused) -> bool:
        """Slack will never take it: mend it, or let it go; whether there is more to send."""
        ...


@dataclass(frozen=True)
class Pace:
    """How fast to send, in seconds between two calls (docs.slack.dev/apis/web-api/rate-limits)."""

    post: float = 1.1
    """chat.postMessage to one channel: one a second."""
    update: float = 1.25
    """chat.update in the whole workspace: 50 a minute (tier 3)."""
    second: float = 1.0
    """How long a second of a pause lasts; tests have shorter ones."""


@dataclass
class _Lane:
    """One channel: who waits for it, the urgent ones apart."""

    waiting: dict[str, Sender] = field(default_factory=dict)
    urgent: dict[str, Sender] = field(default_factory=dict)
    some: asyncio.Event = field(default_factory=asyncio.Event)
    sending: bool = False
    """A call is under way."""
    task: asyncio.Task[None] | None = None

    def take(self) -> Sender | None:
        row = self.urgent or self.waiting
        if not row:
            return None
        key = next(iter(row))
        sender = row.pop(key)
        self.waiting.pop(key, None)
        return sender


class Outbox:
    """A lane for each channel; a lane that is refused or unreachable holds nobody else back."""

    def __init__(self, pace: Pace | None = None, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.pace = pace or Pace()
        self._pause = pause
        self._lanes: dict[str, _Lane] = {}
        self._closing = False
        self._updating = asyncio.Lock()
        self._next_update = 0.0
        self._next_post: dict[str, float] = {}
        self.failures = 0
        """Calls in a row that Slack did not answer."""

    def put(self, channel: str, sender: Sender, *, urgent: bool = False) -> None:
        """Let it send when its turn comes."""
        lane = self._lanes.setdefault(channel, _Lane())
        (lane.urgent if urgent else lane.waiting).setdefault(sender.key, sender)
        lane.some.set()
        if lane.task is None:
            lane.task = asyncio.create_task(self._serve(channel, lane))

    @property
    def waiting(self) -> int:
        """How many have something to send."""
        return sum(len(lane.waiting.keys() | lane.urgent.keys()) for lane in self._lanes.values())

    async def before_post(self, channel: str) -> None:
        """Wait until a message may be posted there. Call it before each post, and ``posted`` after."""
        await self._until(self._next_post.get(channel, 0.0))
        self.posted(channel)

    def posted(self, channel: str) -> None:
        """Count from now: a message that took long to arrive must not be close to the next one there."""
        self._next_post[channel] = self._now() + self.pace.post * self.pace.second

    async def before_update(self) -> None:
        """Wait until a message may be updated."""
        async with self._updating:
            await self._until(self._next_update)
            self._next_update = self._now() + self.pace.update * self.pace.second

    async def close(self, within: float = 5.0) -> None:
        """End after the calls that are under way; what was not sent is sent by the next process."""
        self._closing = True
        busy = [lane.task for lane in self._lanes.values() if lane.task is not None and lane.sending]
        if busy:
            # Cut off now, it could be there without our knowing, and be sent again.
            await asyncio.wait(busy, timeout=within)
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, channel: str, lane: _Lane) -> None:
        failures = 0
        # Why the channel takes nothing, as it was told last: it is told once.
        refusal = ""
        while not self._closing:
            sender = lane.take()
            if sender is None:
                lane.some.clear()
                await lane.some.wait()
                continue
            lane.sending = True
            pause, more = 0.0, False
            try:
                more = await sender.send_next()
                failures = self.failures = 0
                if refusal:
                    _log.info("%s takes messages again", channel)
                refusal = ""
            except SlackRefused as error:
                if error.mend:
                    # It would refuse whatever else there is to say.
                    self._put_back(lane, sender)
                    failures += 1
                    pause = _longer(failures)
                    if error.code != refusal:
                        _log.error("nothing is sent to %s: %s: %s; it is tried again", channel, error, error.mend)
                    refusal = error.code
                else:
                    _log.error("not sent to %s: %s (%s)", channel, error, sender.key)
                    more = sender.give_up(error)
            except SlackBusy as error:
                self._put_back(lane, sender)
                pause = error.seconds + random.random() * 0.1
                _log.warning("%s (%s)", error, channel)
            except SlackAway as error:
                self._put_back(lane, sender)
                failures, self.failures = failures + 1, self.failures + 1
                pause = _longer(failures)
                _log.warning("%s; again in %.1f s, %d wait", error, pause, self.waiting)
            except Exception:
                # A mistake of ours with one rollout must not silence the others.
                _log.exception("could not send of %s", sender.key)
            finally:
                lane.sending = False
            if pause and not self._closing:
                await self._pause(pause * self.pace.second)
            elif more:
                lane.waiting.setdefault(sender.key, sender)

    @staticmethod
    def _put_back(lane: _Lane, sender: Sender) -> None:
        """First again: what waits behind it came later."""
        lane.urgent = {sender.key: sender, **lane.urgent}

    async def _until(self, moment: float) -> None:
        left = moment - self._now()
        if left > 0:
            await self._pause(left)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _longer(failures: int) -> float:
    """Seconds until the next try, after so many failed in a row."""
    return min(2.0**failures, LONGEST_PAUSE) * (0.5 + random.random() / 2)
