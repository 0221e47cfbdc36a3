"""Many rollouts: what viewers see change is asked for often, everything now and then, and both at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from coalmine.dashboard import feed as feeds
from coalmine.dashboard import fleet_rounds
from coalmine.dashboard.feed import Feed
from coalmine.dashboard.fleet_rounds import CHUNK, LATEST_CLOSED, LATEST_OPEN, MOST_OPEN, MOST_SHOWN, FleetRounds
from coalmine.errors import TemporalUnavailable
from coalmine.records import Phase
from coalmine.searching import RolloutRow
from coalmine.testing.fake_rollouts import FakeRollouts
from coalmine.testing.sample_rollouts import a_status
from tests.dashboard.served import PATIENCE, served, until

MANY = 3 * LATEST_OPEN
OLD, OTHER = "canary/production/service-0000/eu", "canary/production/service-0003/eu"
"""Neither is among the latest."""


@dataclass
class Slow(FakeRollouts):
    """Long lists take until they may come, and show what was there when they were asked for."""

    may_come: asyncio.Event = field(default_factory=asyncio.Event)
    whole_lists: int = 0
    failing: str = ""
    """While this says why, long lists alone are not answered."""
    refusing: str = ""
    """The same of the question for what has changed."""
    questions: list[Sequence[str]] = field(default_factory=list)

    async def rollouts(self, **asked: Any) -> list[RolloutRow]:
        """As the other, in its time."""
        rows = await super().rollouts(**asked)
        if asked.get("workflow_ids") is not None:
            self.questions.append(asked["workflow_ids"])
        if asked["limit"] == MOST_OPEN:
            self.whole_lists += 1
            await self.may_come.wait()
            if self.failing:
                raise TemporalUnavailable(self.failing)
        return rows

    async def unlike(self, known: Sequence[RolloutRow], limit: int = 500) -> list[RolloutRow]:
        """As the other, or not at all."""
        if self.refusing:
            raise TemporalUnavailable(self.refusing)
        return await super().unlike(known, limit)


@pytest.fixture
def slow() -> Slow:
    slow = Slow.many(MANY)
    assert isinstance(slow, Slow)
    slow.may_come.set()
    return slow


@asynccontextmanager
async def kept(rollouts: Slow, every: float = 0.02) -> AsyncIterator[Feed]:
    feed = Feed(rollouts, every=every)
    feed.start()
    try:
        yield feed
    finally:
        await feed.stop()


def phase(feed: Feed, workflow_id: str) -> str:
    """Of an open one; empty: it is not among them."""
    return next((row.phase for row in feed.fleet.value.open if row.workflow_id == workflow_id), "")


async def becomes(feed: Feed, workflow_id: str, wanted: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while phase(feed, workflow_id) != wanted:
            await feed.fleet.after(feed.fleet.number)


def named(feed: Feed, workflow_id: str) -> list[RolloutRow]:
    return [row for row in feed.fleet.value.open if row.workflow_id == workflow_id]


async def whole_list_is_asked(slow: Slow) -> None:
    """From now on every long list is one from before whatever happens next."""
    slow.may_come.clear()
    before = slow.whole_lists
    async with asyncio.timeout(PATIENCE):
        while slow.whole_lists == before:
            await asyncio.sleep(0.01)


async def test_the_first_page_waits_for_the_list_that_was_begun_with_the_server(slow: Slow) -> None:
    slow.may_come.clear()
    async with kept(slow) as feed:
        first = asyncio.create_task(feed.current())
        # The latest ones are known before, and are not all.
        await becomes(feed, f"canary/test/service-0{MANY - 1}/us", "stepping")
        assert not first.done()
        slow.may_come.set()
        assert len((await first).open) == MANY


async def test_a_row_that_is_shown_changes_while_a_whole_list_is_under_way_and_stays_so_after_it(slow: Slow) -> None:
    async with kept(slow) as feed, feed.viewing_fleet() as viewer:
        await feed.current()
        viewer.shown = named(feed, OLD)
        await whole_list_is_asked(slow)
        slow.change(OLD, phase=Phase.PROMOTING)
        await becomes(feed, OLD, "promoting")
        lists = slow.whole_lists
        slow.may_come.set()
        async with asyncio.timeout(PATIENCE):
            while slow.whole_lists == lists:
                assert phase(feed, OLD) == "promoting"
                await asyncio.sleep(0.005)


async def test_a_row_that_nobody_sees_changes_while_a_whole_list_is_under_way_and_stays_so_after_it(slow: Slow) -> None:
    async with kept(slow) as feed, feed.viewing_fleet():
        await feed.current()
        await whole_list_is_asked(slow)
        slow.change(OTHER, phase=Phase.PROMOTING)
        await becomes(feed, OTHER, "promoting")
        lists = slow.whole_lists
        slow.may_come.set()
        async with asyncio.timeout(PATIENCE):
            while slow.whole_lists == lists:
                assert phase(feed, OTHER) == "promoting"
                await asyncio.sleep(0.005)


@pytest.mark.parametrize("query", ["sort=weight&down=1&size=100", "sort=weight&page=3&size=100"])
async def test_one_that_moves_onto_a_page_by_its_weight_comes_while_a_whole_list_is_under_way(
    slow: Slow, query: str
) -> None:
    row = f"r-{slow.statuses[OLD].run_id}"
    async with served(slow) as desk, desk.stream(f"/events/fleet?{query}") as updates:
        assert row not in (await anext(updates))["order"]
        await whole_list_is_asked(slow)
        slow.change(OLD, canary_weight=99)
        await until(updates, lambda update: row in update["order"])
        slow.change(OLD, canary_weight=10)
        await until(updates, lambda update: row not in update["order"])
        slow.may_come.set()


async def test_what_changed_is_asked_for_once_everything_is_known() -> None:
    slow = Slow.many(MANY)
    assert isinstance(slow, Slow)
    slow.may_come.set()
    rounds = FleetRounds(slow)
    await rounds.quick([])
    assert "unlike" not in slow.asked
    await rounds.whole()
    await rounds.quick([])
    assert slow.asked["unlike"] == 1


async def test_a_server_that_refuses_the_long_question_still_shows_what_is_on_pages(
    slow: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    slow.refusing = "too long a query"
    async with kept(slow) as feed, feed.viewing_fleet() as viewer:
        await feed.current()
        viewer.shown = named(feed, OLD)
        slow.change(OLD, phase=Phase.PROMOTING)
        await becomes(feed, OLD, "promoting")
        slow.change(OTHER, phase=Phase.PROMOTING)
        await becomes(feed, OTHER, "promoting")  # With a whole list.
        assert feed.fleet.value.trouble is None
    assert [record.message for record in caplog.records] == [
        "rows on no page are up to date after whole lists only: too long a query"
    ]


async def test_many_that_close_at_once_are_closed_with_the_next_quick_round(slow: Slow) -> None:
    rounds = FleetRounds(slow)
    await rounds.whole()
    closing = [row.workflow_id for row in rounds.known.rows()[0]][: 4 * LATEST_CLOSED]
    for number, workflow_id in enumerate(closing):
        slow.change(workflow_id, phase=Phase.CLOSED, closed_at=a_status("x", number=2 * MANY + number).started_at)
    await rounds.quick([])
    opened, closed = rounds.known.rows()
    assert {row.workflow_id for row in closed} == set(closing)
    assert not {row.workflow_id for row in opened} & set(closing)


async def test_the_oldest_beyond_what_a_list_holds_do_not_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_rounds, "MOST_OPEN", MANY - 20)
    slow = Slow.many(MANY)
    assert isinstance(slow, Slow)
    slow.may_come.set()
    rounds = FleetRounds(slow)
    await rounds.whole()
    slow.change("canary/staging/service-0100/eu", phase=Phase.PROMOTING)
    await rounds.quick([])
    known = rounds.known.rows()[0]
    assert len(known) == MANY - 20
    assert [row.service for row in known if row.phase == "promoting"] == ["service-0100"]


async def test_a_new_one_comes_while_a_whole_list_is_under_way_and_stays(slow: Slow) -> None:
    async with kept(slow) as feed, feed.viewing_fleet():
        await feed.current()
        await whole_list_is_asked(slow)
        new = slow.put(a_status("new", number=MANY + 1))
        await becomes(feed, new.workflow_id, "stepping")
        lists = slow.whole_lists
        slow.may_come.set()
        async with asyncio.timeout(PATIENCE):
            while slow.whole_lists == lists:
                assert phase(feed, new.workflow_id) == "stepping"
                await asyncio.sleep(0.005)


async def test_one_that_closes_goes_while_a_whole_list_is_under_way_and_does_not_come_back(slow: Slow) -> None:
    async with kept(slow) as feed, feed.viewing_fleet():
        await feed.current()
        await whole_list_is_asked(slow)
        slow.change(OTHER, phase=Phase.CLOSED, closed_at=a_status("x", number=2 * MANY).started_at)
        await becomes(feed, OTHER, "")
        assert [row.workflow_id for row in feed.fleet.value.closed] == [OTHER]
        lists = slow.whole_lists
        slow.may_come.set()
        async with asyncio.timeout(PATIENCE):
            while slow.whole_lists == lists:
                assert phase(feed, OTHER) == ""
                await asyncio.sleep(0.005)


async def test_a_list_from_before_nobody_looked_is_not_shown(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "IDLE", 0.0)
    monkeypatch.setattr(feeds, "STALE", 0.1)
    async with kept(slow) as feed:
        await feed.current()
        async with asyncio.timeout(PATIENCE):
            while asyncio.get_running_loop().time() - feed._had_at <= 0.1:
                await asyncio.sleep(0.02)
        slow.change(OTHER, phase=Phase.PROMOTING)
        await feed.current()
        assert phase(feed, OTHER) == "promoting"


async def test_a_whole_list_that_does_not_come_is_told_and_what_is_shown_still_changes(slow: Slow) -> None:
    async with kept(slow) as feed, feed.viewing_fleet() as viewer:
        await feed.current()
        viewer.shown = named(feed, OLD)
        slow.failing = "too many"
        async with asyncio.timeout(PATIENCE):
            while feed.fleet.value.trouble is None:
                await feed.fleet.after(feed.fleet.number)
        assert feed.fleet.value.trouble.reason == "too many"
        slow.change(OLD, phase=Phase.PROMOTING)
        await becomes(feed, OLD, "promoting")
        slow.failing = ""
        async with asyncio.timeout(PATIENCE):
            while feed.fleet.value.trouble is not None:
                await feed.fleet.after(feed.fleet.number)


async def test_shown_rows_are_asked_for_in_chunks_those_heard_of_longest_ago_first() -> None:
    slow = Slow.many(MOST_SHOWN + 3 * CHUNK)
    assert isinstance(slow, Slow)
    slow.may_come.set()
    for workflow_id in slow.statuses:
        slow.change(workflow_id, phase=Phase.STEPPING)
    rounds = FleetRounds(slow)
    await rounds.whole()
    everything = rounds.known.rows()[0]
    await rounds.quick(everything)
    first = {one for question in slow.questions for one in question}
    assert [len(question) for question in slow.questions] == [CHUNK] * (MOST_SHOWN // CHUNK)
    # The latest come anyway; of the others, those that had no room come first in the next round.
    others = {row.workflow_id for row in everything[LATEST_OPEN:]}
    assert first < others
    slow.questions.clear()
    await rounds.quick(everything)
    second = {one for question in slow.questions for one in question}
    assert others - first <= second


async def test_an_id_that_cannot_stand_in_a_question_is_left_to_whole_lists(slow: Slow) -> None:
    odd = slow.put(a_status("o'dd", number=0))
    rounds = FleetRounds(slow)
    await rounds.whole()
    await rounds.quick(rounds.known.rows()[0])
    assert odd.workflow_id not in {one for question in slow.questions for one in question}
    assert odd.workflow_id in {row.workflow_id for row in rounds.known.rows()[0]}


async def test_one_that_waits_for_a_human_comes_while_a_whole_list_is_under_way(slow: Slow) -> None:
    async with kept(slow) as feed, feed.viewing_fleet():
        await feed.current()
        await whole_list_is_asked(slow)
        slow.change(OTHER, phase=Phase.HELD, held_reason="why")
        await becomes(feed, OTHER, "held")
        slow.may_come.set()


async def test_one_that_comes_into_a_phase_that_a_page_is_filtered_by_is_shown_while_a_whole_list_is_under_way(
    slow: Slow,
) -> None:
    async with served(slow) as desk, desk.stream("/events/fleet?phase=promoting") as updates:
        assert (await anext(updates))["order"] == []
        await whole_list_is_asked(slow)
        changed = slow.change(OTHER, phase=Phase.PROMOTING)
        row = f"r-{changed.run_id}"
        await until(updates, lambda update: update["order"] == [row])
        slow.change(OTHER, phase=Phase.BAKING)
        await until(updates, lambda update: update["order"] == [])
        slow.may_come.set()
