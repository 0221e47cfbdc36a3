"""The pace that is shipped, against the limits it is for: those of the fake Slack, as Slack documents them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle

from coalmine.chat.outbox import Outbox
from coalmine.chat.web import SlackRefused
from coalmine.testing.slack.rates import POSTS_PER_MINUTE, TIERS, Rates
from tests.leaping_clock import run_leaping

MINUTES = 10
CHANNELS = ("C0ONE", "C0TWO", "C0THREE", "C0FOUR")
POST, UPDATE = "chat.postMessage", "chat.update"


@dataclass
class Slack:
    """With seconds as long as its own; calls arrive late and early by turns, and so close to each other."""

    rates: Rates = field(default_factory=lambda: Rates(1.0, POSTS_PER_MINUTE))
    ways: Iterator[float] = field(default_factory=lambda: cycle((0.3, 0.0, 0.8, 0.05, 0.0)))
    taken: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[float, str]] = field(default_factory=list)

    async def call(self, method: str, channel: str) -> None:
        """One call."""
        await asyncio.sleep(next(self.ways))
        if self.rates.wait(method, channel):
            self.refused.append((asyncio.get_running_loop().time(), f"{method} {channel}"))
        else:
            self.taken[f"{method} {channel}"] += 1


@dataclass
class Talker:
    """Has always something to send."""

    slack: Slack
    outbox: Outbox
    method: str
    channel: str
    name: str = ""

    @property
    def key(self) -> str:
        return f"{self.method} {self.channel} {self.name}"

    async def send_next(self) -> bool:
        if self.method == UPDATE:
            await self.outbox.before_update()
            await self.slack.call(UPDATE, self.channel)
            return True
        await self.outbox.before_post(self.channel)
        await self.slack.call(POST, self.channel)
        self.outbox.posted(self.channel)
        return True

    def give_up(self, refused: SlackRefused) -> bool:
        raise AssertionError(refused)


async def talk(method: str, talkers: int) -> Slack:
    """So many in each channel, as fast as the outbox lets them."""
    slack, outbox = Slack(), Outbox()
    for channel in CHANNELS:
        for number in range(talkers):
            outbox.put(channel, Talker(slack, outbox, method, channel, str(number)))
    await asyncio.sleep(60 * MINUTES)
    await outbox.close()
    return slack


def test_posts_as_shipped_are_never_limited_and_not_slower_than_need_be() -> None:
    slack = run_leaping(talk(POST, 2))
    assert slack.refused == []
    assert min(slack.taken[f"{POST} {channel}"] for channel in CHANNELS) >= 40 * MINUTES


def test_updates_as_shipped_are_never_limited_and_not_slower_than_need_be() -> None:
    slack = run_leaping(talk(UPDATE, 1))
    assert slack.refused == []
    assert 0.9 * TIERS[UPDATE] * MINUTES <= slack.taken.total() <= TIERS[UPDATE] * MINUTES
