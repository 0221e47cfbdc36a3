"""What rows wait for: questions that take long are not asked in vain, and what is on a page is asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from coalmine.dashboard import waits as module
from coalmine.dashboard.feed import Feed
from coalmine.dashboard.waits import AT_ONCE, MOST_RENEWED, SILENT_AT_ONCE, Waits
from coalmine.errors import TemporalUnavailable
from coalmine.records import Phase, RolloutStatus
from coalmine.searching import RolloutRef, RolloutRow
from coalmine.testing.fake_rollouts import FakeRollouts
from coalmine.testing.sample_rollouts import a_status
from tests.dashboard.served import PATIENCE, served, until

ASKED = "being asked"


@dataclass
class Slow(FakeRollouts):
    """Workers that answer when they may."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    dead: str = ""
    """While this says why, Temporal answers and workers do not."""
    begun: int = 0
    under_way: int = 0
    most: int = 0
    """Questions to workers that were ever under way together."""

    async def status(self, ref: RolloutRef) -> RolloutStatus:
        """As the other, in its time."""
        self.begun += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.may_answer.wait()
            if self.dead:
                raise TemporalUnavailable(self.dead)
            return await super().status(ref)
        finally:
            self.under_way -= 1


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
async def waits(slow: Slow) -> AsyncIterator[Waits]:
    waits = Waits(slow)
    yield waits
    await waits.stop()


async def gated(slow: Slow, count: int) -> list[RolloutRow]:
    for number in range(count):
        slow.put(a_status(f"service-{number:03}", phase=Phase.GATED, number=number))
    return await slow.rollouts(limit=count)


async def becomes(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not met():
            await asyncio.sleep(0.005)


def text(waits: Waits, row: RolloutRow) -> str | None:
    known = waits.known(row)
    return known.text if known is not None else None


async def test_an_answer_that_comes_when_nobody_waits_for_it_counts(waits: Waits, slow: Slow) -> None:
    rows = await gated(slow, 3)
    await waits.learn(rows, 0.0)
    await waits.learn(rows, 0.0)
    assert [text(waits, row) for row in rows] == [None] * 3
    await becomes(lambda: slow.under_way == 3)
    slow.may_answer.set()
    await becomes(lambda: all(text(waits, row) == "gate 'go' waits for 1 of sre" for row in rows))
    assert slow.begun == 3


async def test_a_page_hears_what_came_after_it_was_shown(slow: Slow) -> None:
    await gated(slow, 1)
    async with served(slow) as desk:
        assert ASKED in await desk.page("/")
        async with desk.stream("/events/fleet") as updates:
            assert ASKED in str(await anext(updates))
            slow.may_answer.set()
            await until(updates, lambda update: "waits for 1 of sre" in str(update["rows"]))
    # The question of the page that was loaded is that of the stream too.
    assert slow.begun == 1


async def test_so_many_are_asked_at_once_and_no_more(waits: Waits, slow: Slow) -> None:
    rows = await gated(slow, 3 * AT_ONCE)
    await waits.learn(rows, 0.0)
    await becomes(lambda: slow.under_way == AT_ONCE)
    slow.may_answer.set()
    await becomes(lambda: None not in [text(waits, row) for row in rows])
    assert slow.most == AT_ONCE


async def test_questions_end_with_the_server(slow: Slow) -> None:
    rows = await gated(slow, 3)
    feed = Feed(slow, every=0.02)
    feed.start()
    await feed.waits.learn(rows, 0.0)
    await becomes(lambda: slow.under_way == 3)
    await feed.stop()
    assert slow.under_way == 0
    await feed.waits.learn(rows, PATIENCE)
    assert slow.under_way == 0


@pytest.mark.parametrize("path", ["/events/fleet", "/events/fleet?phase=gated"])
async def test_a_row_on_a_page_tells_a_new_gate_an_approval_and_another_deadline(
    slow: Slow, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", float("inf"))
    slow.may_answer.set()
    status = slow.put(a_status("checkout", phase=Phase.GATED))
    assert status.gate is not None
    assert status.deadline_at is not None
    async with served(slow) as desk, desk.stream(path) as updates:
        assert "gate &#39;go&#39; waits for 1 of sre" in str(await anext(updates))
        slow.change(status.workflow_id, gate=status.gate.model_copy(update={"name": "second"}))
        await until(updates, lambda update: "gate &#39;second&#39; waits" in str(update["rows"]))
        slow.change(status.workflow_id, gate=status.gate.model_copy(update={"approvals": ["ana"]}))
        await until(updates, lambda update: "approved by ana" in str(update["rows"]))
        later = status.deadline_at + timedelta(days=400)
        slow.change(status.workflow_id, deadline_at=later)
        await until(updates, lambda update: f"{later:%Y-%m-%d %H:%M:%S}" in str(update["rows"]))


async def test_a_page_that_is_loaded_again_shows_what_happened_meanwhile(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", float("inf"))
    monkeypatch.setattr("coalmine.dashboard.fleet_page.FRESH", 0.0)
    monkeypatch.setattr("coalmine.dashboard.fleet_page.WAIT_FOR_WAITS", PATIENCE)
    slow.may_answer.set()
    status = slow.put(a_status("checkout", phase=Phase.GATED))
    assert status.gate is not None
    async with served(slow) as desk:
        assert "&#39;go&#39; waits" in await desk.page("/")
        slow.change(status.workflow_id, gate=status.gate.model_copy(update={"name": "second"}))
        assert "&#39;second&#39; waits" in await desk.page("/")


async def test_no_worker_is_asked_while_nothing_happens(
    waits: Waits, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = await gated(slow, 2)
    slow.may_answer.set()
    await waits.learn(rows, PATIENCE)
    for marks in (4, 6):
        waits.renew(rows)
        await becomes(lambda marks=marks: slow.asked["mark"] == marks and not waits._under_way)  # type: ignore[misc]
    assert slow.asked["status"] == 2
    # Now and then one is asked in any case: it may be gone.
    monkeypatch.setattr(module, "KEPT", 0.0)
    slow.dead = "no worker"
    waits.renew(rows)
    await becomes(lambda: text(waits, rows[0]) == "no answer: no worker")


async def test_a_round_asks_for_those_heard_of_longest_ago(waits: Waits, slow: Slow) -> None:
    rows = await gated(slow, MOST_RENEWED + 50)
    slow.may_answer.set()
    waits.renew(rows)
    # While those are under way there is no room for others.
    waits.renew(rows)
    await becomes(lambda: not waits._under_way)
    missing = [row for row in rows if waits.known(row) is None]
    assert len(missing) == 50
    waits.renew(rows)
    await becomes(lambda: not waits._under_way)
    assert None not in [text(waits, row) for row in missing]
    assert slow.asked["mark"] == 2 * MOST_RENEWED


async def test_those_that_do_not_answer_rest_and_leave_room_for_others(
    waits: Waits, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = await gated(slow, 2 * AT_ONCE)
    slow.may_answer.set()
    slow.dead = "no worker"
    await waits.learn(rows, PATIENCE)
    waits.renew(rows)
    assert not waits._under_way
    monkeypatch.setattr(module, "AGAIN", 0.0)
    slow.may_answer.clear()
    waits.renew(rows)
    await becomes(lambda: slow.under_way == SILENT_AT_ONCE)
    slow.put(a_status("new", phase=Phase.GATED, number=900))
    new = await slow.rollouts(service="new")
    await waits.learn(new, 0.0)
    await becomes(lambda: slow.under_way == SILENT_AT_ONCE + 1)
    slow.dead = ""
    slow.may_answer.set()
    await becomes(lambda: {text(waits, row) for row in [*rows, *new]} == {"gate 'go' waits for 1 of sre"})


async def test_an_answer_of_an_earlier_phase_that_comes_late_does_not_count(waits: Waits, slow: Slow) -> None:
    (before,) = await gated(slow, 1)
    await waits.learn([before], 0.0)
    await becomes(lambda: slow.under_way == 1)
    slow.change(before.workflow_id, phase=Phase.HELD, held_reason="why")
    (after,) = await slow.rollouts()
    await waits.learn([after], 0.0)
    await becomes(lambda: slow.under_way == 2)
    slow.may_answer.set()
    await becomes(lambda: text(waits, after) == "a human: why" and not waits._under_way)
    assert text(waits, after) == "a human: why"


async def test_what_somebody_said_is_asked_for_at_once(slow: Slow) -> None:
    await gated(slow, 1)
    slow.may_answer.set()
    feed = Feed(slow, every=PATIENCE)
    feed.start()
    try:
        async with feed.viewing_fleet() as viewer:
            viewer.shown = (await feed.current()).open
            row = viewer.shown[0]
            await feed.waits.learn(viewer.shown, PATIENCE)
            slow.change(row.workflow_id, gate=None)
            feed.hurry(RolloutRef(row.workflow_id))
            await becomes(lambda: text(feed.waits, row) == "")
    finally:
        await feed.stop()
