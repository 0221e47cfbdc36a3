"""The feed: Temporal is asked once for all viewers, and only for what somebody looks at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from coalmine.dashboard.feed import Feed
from coalmine.records import Phase, RolloutStatus
from coalmine.searching import RolloutRef, RolloutRow
from coalmine.testing.fake_rollouts import FakeRollouts
from tests.dashboard.served import PATIENCE

REF = RolloutRef("canary/production/service-0000/eu")


@pytest.fixture
def fake() -> FakeRollouts:
    return FakeRollouts.many(7)


@pytest.fixture
async def feed(fake: FakeRollouts) -> AsyncIterator[Feed]:
    feed = Feed(fake, every=0.02)
    feed.start()
    yield feed
    await feed.stop()


async def becomes(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not met():
            await asyncio.sleep(0.01)


async def test_nobody_looks_and_nothing_is_asked_after_the_first_list(feed: Feed, fake: FakeRollouts) -> None:
    await becomes(lambda: len(feed.fleet.value.open) == 7)
    await asyncio.sleep(0.2)
    assert fake.asked == {"rollouts": 2}


async def test_many_viewers_are_one_question(feed: Feed, fake: FakeRollouts) -> None:
    fleets = await asyncio.gather(*(feed.current() for _ in range(50)))
    assert {len(fleet.open) for fleet in fleets} == {7}
    assert fake.asked["rollouts"] <= 8
    assert "status" not in fake.asked


async def test_a_change_reaches_whoever_views(feed: Feed, fake: FakeRollouts) -> None:
    async with feed.viewing_fleet() as viewer:
        await feed.current()
        fleet = viewer.fleet
        number = fleet.number
        fake.change(REF.workflow_id, phase=Phase.BAKING)
        async with asyncio.timeout(PATIENCE):
            _, known = await fleet.after(number)
        assert {row.phase for row in known.open if row.workflow_id == REF.workflow_id} == {"baking"}


async def test_one_that_closes_moves_to_the_closed_at_once(feed: Feed, fake: FakeRollouts) -> None:
    async with feed.viewing_fleet() as viewer:
        await feed.current()
        fleet = viewer.fleet
        fake.change(REF.workflow_id, phase=Phase.CLOSED)
        await becomes(lambda: len(fleet.value.closed) == 1 and len(fleet.value.open) == 6)


async def test_silence_is_said_with_its_beginning_and_ends(feed: Feed, fake: FakeRollouts) -> None:
    async with feed.viewing_fleet() as viewer:
        await feed.current()
        fleet = viewer.fleet
        fake.silent = "no connection"
        await becomes(lambda: fleet.value.trouble is not None)
        trouble = fleet.value.trouble
        assert trouble is not None
        assert trouble.reason == "no connection"
        assert len(fleet.value.open) == 7
        # Whoever comes meanwhile does not wait for an answer that does not come.
        assert (await feed.current()).trouble is not None
        fake.silent = ""
        await becomes(lambda: fleet.value.trouble is None)


async def test_tries_become_rarer_while_nobody_answers(feed: Feed, fake: FakeRollouts) -> None:
    fake.silent = "no connection"
    async with feed.viewing_fleet() as viewer:
        await becomes(lambda: viewer.fleet.value.trouble is not None)
        await becomes(lambda: feed._quick._pause > 10 * 0.02)


async def test_only_a_rollout_that_is_viewed_is_asked_once_for_all(feed: Feed, fake: FakeRollouts) -> None:
    async with feed.viewing(REF) as one, feed.viewing(REF) as other:
        assert one is other
        await becomes(lambda: one.value.status is not None)
        assert fake.asked["recorded"] == 1
        fake.change(REF.workflow_id, phase=Phase.HELD, held_reason="why")
        await becomes(lambda: one.value.status is not None and one.value.status.phase is Phase.HELD)
    asked = fake.asked["status"]
    await asyncio.sleep(0.2)
    assert fake.asked["status"] == asked


async def test_looks_are_added_as_they_come_and_read_again_where_some_were_missed(
    feed: Feed, fake: FakeRollouts
) -> None:
    async with feed.viewing(REF) as watched:
        await becomes(lambda: len(watched.value.past.looks) == 12)
        fake.change(REF.workflow_id, looks=13)
        await becomes(lambda: len(watched.value.past.looks) == 13)
        assert fake.asked["recorded"] == 1
        fake.change(REF.workflow_id, looks=20)
        await becomes(lambda: fake.asked["recorded"] == 2)


async def test_what_rows_wait_for_is_asked_for_the_waiting_ones_alone(feed: Feed, fake: FakeRollouts) -> None:
    rows = (await feed.current()).open
    await feed.waits.learn(rows, PATIENCE)
    waiting = [row for row in rows if row.phase in ("gated", "held", "baking", "window")]
    assert fake.asked["status"] == len(waiting) == 4
    await feed.waits.learn(rows, PATIENCE)
    assert fake.asked["status"] == 4
    said = {row.phase: feed.waits.known(row) for row in rows}
    assert said["gated"] is not None
    assert said["gated"].text == "gate 'go' waits for 1 of sre"
    assert said["gated"].human
    assert said["held"] is not None
    assert said["held"].text.startswith("a human: sample ratio")


async def test_an_error_nobody_foresaw_is_trouble_and_the_asking_goes_on(
    feed: Feed, fake: FakeRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(**_: object) -> list[RolloutRow]:
        raise ValueError("8 is not a valid WorkflowExecutionStatus")

    async with feed.viewing_fleet() as viewer:
        await feed.current()
        with monkeypatch.context() as patched:
            patched.setattr(fake, "rollouts", unreadable)
            await becomes(lambda: viewer.fleet.value.trouble is not None)
            trouble = viewer.fleet.value.trouble
            assert trouble is not None
            assert "ValueError" in trouble.reason
            # Whoever comes meanwhile does not wait for ever.
            async with asyncio.timeout(PATIENCE):
                assert len((await feed.current()).open) == 7
        await becomes(lambda: viewer.fleet.value.trouble is None)


async def test_a_rollout_that_cannot_be_read_is_trouble_of_its_page_and_its_row(
    feed: Feed, fake: FakeRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(*_: object) -> RolloutStatus:
        raise ValueError("a field of a newer worker")

    rows = (await feed.current()).open
    with monkeypatch.context() as patched:
        patched.setattr(fake, "status", unreadable)
        await feed.waits.learn(rows, PATIENCE)
        texts = [wait.text for row in rows if (wait := feed.waits.known(row)) is not None and wait.text]
        assert texts
        assert all("ValueError" in text for text in texts)
        async with feed.viewing(REF) as watched:
            await becomes(lambda: watched.value.trouble is not None)
            patched.undo()
            await becomes(lambda: watched.value.status is not None and watched.value.trouble is None)
