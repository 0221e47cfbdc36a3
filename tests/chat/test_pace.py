"""The pace that is shipped, against the limits it is for: those of the fake Slack, as Slack documents them.

And the pauses Slack asks for, each kept by whoever sends; that they are kept by all who call is in test_pauses.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, cast

from coalmine.chat.desk import Desk
from coalmine.chat.outbox import Outbox
from coalmine.chat.web import SlackBusy, SlackRefused
from coalmine.testing.slack.rates import POSTS_PER_MINUTE, TIERS, Rates
from tests.leaping_clock import run_leaping

MINUTES = 10
CHANNELS = ("C0ONE", "C0TWO", "C0THREE", "C0FOUR")
POST, UPDATE = "chat.postMessage", "chat.update"


@dataclass
class Slack:
    """With seconds as long as its own; calls arrive late and early by turns, and so close to each other."""

    rates: Rates = field(default_factory=lambda: Rates(lambda: 1.0, POSTS_PER_MINUTE))
    ways: Iterator[float] = field(default_factory=lambda: cycle((0.3, 0.0, 0.8, 0.05, 0.0)))
    taken: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[float, str]] = field(default_factory=list)

    async def call(self, method: str, channel: str) -> None:
        """One call."""
        await asyncio.sleep(next(self.ways))
        if wait := self.rates.wait(method, channel):
            self.refused.append((asyncio.get_running_loop().time(), f"{method} {channel}"))
            raise SlackBusy(method, wait)
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


PAUSE = 30


def test_who_sends_waits_as_long_as_slack_says() -> None:
    async def send() -> Slack:
        slack, outbox = Slack(), Outbox()
        for method in (POST, UPDATE):
            slack.rates.force(method, PAUSE, times=2)
            outbox.put("C0ONE", Talker(slack, outbox, method, "C0ONE"))
        await asyncio.sleep(60 * MINUTES)
        await outbox.close()
        return slack

    slack = run_leaping(send())
    assert slack.rates.early == []
    assert len(slack.refused) == 4
    assert all(slack.taken[f"{method} C0ONE"] for method in (POST, UPDATE))


@dataclass
class Answers:
    """Slack as whoever asked hears of it: an answer at the ``response_url``, or in the channel."""

    slack: Slack
    gone: bool = False
    told: list[str] = field(default_factory=list)

    async def respond(self, url: str, text: str) -> None:
        await self.slack.call("response_url", "")
        if self.gone:
            raise SlackRefused("response_url", "expired_url")
        self.told.append(text)

    async def call(self, method: str, channel: str, user: str, text: str) -> None:
        await self.slack.call(method, channel)
        self.told.append(text)


def test_who_is_answered_hears_it_once_after_the_pause_slack_asked_for() -> None:
    async def tell(gone: bool, times: int) -> Answers:
        answers = Answers(Slack(), gone)
        for method in ("response_url", "chat.postEphemeral"):
            answers.slack.rates.force(method, PAUSE, times)
        desk = Desk(cast(Any, answers), *cast(Any, [None] * 3))
        await desk._tell("it is so", "https://hooks.example/1", "C0ONE", "U0ANA")
        return answers

    for gone, times, refused in ((False, 3, 3), (True, 1, 2)):
        answers = run_leaping(tell(gone, times))
        assert answers.slack.rates.early == []
        assert answers.told == ["it is so"]
        assert len(answers.slack.refused) == refused
