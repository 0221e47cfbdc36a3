"""How often the live page as shipped asks, against its promise: a change is seen within 2 s (docs/dashboard.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from coalmine.dashboard import app
from coalmine.dashboard.acting import Actor
from coalmine.dashboard.auth.bearer import Bearer
from coalmine.dashboard.auth.nobody import Nobody
from coalmine.dashboard.context import Settings
from coalmine.dashboard.feed import Feed
from coalmine.dashboard.fleet_rounds import LATEST_CLOSED, LATEST_OPEN, MOST_OPEN
from coalmine.dashboard.fleet_view import FleetQuery, view
from coalmine.dashboard.places import Place
from coalmine.dashboard.session import Sessions
from coalmine.recorded import Recorded
from coalmine.records import DecisionLog, Outcome, Phase, RolloutStatus
from coalmine.searching import RolloutRef, RolloutRow
from coalmine.testing.fake_rollouts import FakeRollouts
from tests.dashboard.served import SECRET
from tests.leaping_clock import run_leaping

SEEN_WITHIN = 2.0
"""Seconds: the promise."""
DRAWN_WITHIN = 0.5
"""Of them, for Temporal to list what happened, and for the browser to draw it: ``benchmarks/dashboard.py`` has both."""
OLD = "canary/production/service-0000/eu"
"""None of the latest: it is heard of because somebody's page shows it."""
CHANGES = 20
T = TypeVar("T")


@dataclass
class Distant(FakeRollouts):
    """Each answer is as old as it takes to come; that to a list of everything takes longer."""

    takes: float = 0.25
    long: float = 0.0
    """How much longer a history takes."""
    rounds: int = 0
    """Quick ones: each asks for the latest closed."""

    async def rollouts(self, **asked: Any) -> list[RolloutRow]:
        rows = await super().rollouts(**asked)
        self.rounds += asked["limit"] == LATEST_CLOSED
        await asyncio.sleep(8 * self.takes if asked["limit"] == MOST_OPEN else self.takes)
        return rows

    async def unlike(self, known: Sequence[RolloutRow], limit: int = 500) -> list[RolloutRow]:
        return await self._late(await super().unlike(known, limit))

    async def status(self, ref: RolloutRef) -> RolloutStatus:
        return await self._late(await super().status(ref))

    async def decisions(self, ref: RolloutRef) -> DecisionLog:
        return await self._late(await super().decisions(ref))

    async def recorded(self, ref: RolloutRef) -> Recorded:
        past = await self._late(await super().recorded(ref))
        await asyncio.sleep(self.long)
        return past

    async def _late(self, answer: T) -> T:
        await asyncio.sleep(self.takes)
        return answer


@asynccontextmanager
async def shipped(rollouts: FakeRollouts) -> AsyncIterator[Feed]:
    """What a server with the settings that are shipped asks by."""
    place = Place("http://127.0.0.1:1")
    settings = Settings(rollouts, Nobody(), Sessions(SECRET, place.secure), place, Actor(rollouts), Bearer([]))
    feed: Feed = app.build(settings).state.feed
    feed.start()
    try:
        yield feed
    finally:
        await feed.stop()


def many(takes: float) -> Distant:
    fake = Distant.many(3 * LATEST_OPEN)
    assert isinstance(fake, Distant)
    fake.takes = takes
    return fake


def now() -> float:
    return asyncio.get_running_loop().time()


def phases() -> list[tuple[int, Phase]]:
    """One change after the other; none of them puts a row among those that are asked for anyway."""
    return [(number, Phase.PROMOTING if number % 2 else Phase.STEPPING) for number in range(1, CHANGES + 1)]


async def in_the_list(fake: Distant) -> list[float]:
    times = []
    async with shipped(fake) as feed, feed.viewing_fleet() as viewer:
        await feed.current()
        viewer.shown = [row for row in feed.fleet.value.open if row.workflow_id == OLD]
        for number, phase in phases():
            # Not in step with whoever asks.
            await asyncio.sleep(3 + number / CHANGES)
            fake.change(OLD, phase=phase)
            began = now()
            while all(row.phase != phase for row in feed.fleet.value.open if row.workflow_id == OLD):
                await feed.fleet.after(feed.fleet.number)
            times.append(now() - began)
    return times


MOVES: dict[str, tuple[FleetQuery, dict[str, Any]]] = {
    "by weight": (FleetQuery(sort="weight", down=True, size=100), {"canary_weight": 99}),
    "by phase": (FleetQuery(sort="phase", down=True), {"phase": Phase.WINDOW, "outcome": Outcome.PROMOTED}),
    "onto a later page": (FleetQuery(page=6), {"phase": Phase.BAKING}),
    "into a phase": (FleetQuery(phase="baking", sort="service", size=25), {"phase": Phase.BAKING}),
    "into a search": (FleetQuery(q="held eu", sort="environment"), {"phase": Phase.HELD}),
}
"""Pages, and what brings one onto them that was on none."""


async def onto_a_page(fake: Distant, query: FleetQuery, changes: dict[str, Any]) -> list[float]:
    before = fake.statuses[OLD]
    times = []
    async with shipped(fake) as feed, feed.viewing_fleet() as viewer:
        await feed.current()
        for number in range(1, CHANGES + 1):
            comes = number % 2 == 1
            viewer.shown = view(feed.fleet.value, query).rows
            assert all(row.workflow_id != OLD for row in viewer.shown) == comes
            await asyncio.sleep(3 + number / CHANGES)
            fake.change(OLD, **changes) if comes else fake.put(before)
            began = now()
            async with asyncio.timeout(60):
                while any(row.workflow_id == OLD for row in view(feed.fleet.value, query).rows) != comes:
                    await feed.fleet.after(feed.fleet.number)
            times.append(now() - began)
    return times


async def on_its_page(fake: Distant) -> list[float]:
    times = []
    async with shipped(fake) as feed, feed.viewing(RolloutRef(OLD)) as seen:
        for number, phase in phases():
            await asyncio.sleep(3 + number / CHANGES)
            fake.change(OLD, phase=phase)
            began = now()
            while seen.value.status is None or seen.value.status.phase is not phase:
                await seen.after(seen.number)
            times.append(now() - began)
    return times


async def rounds(fake: Distant, seconds: float) -> int:
    async with shipped(fake) as feed, feed.viewing_fleet():
        await asyncio.sleep(seconds)
    return fake.rounds


def test_a_change_of_a_row_is_known_in_time_to_be_seen() -> None:
    times = run_leaping(in_the_list(many(0.25)))
    assert len(times) == CHANGES
    assert max(times) <= SEEN_WITHIN - DRAWN_WITHIN


@pytest.mark.parametrize("name", MOVES)
def test_a_move_onto_a_page_is_known_in_time_to_be_seen(name: str) -> None:
    times = run_leaping(onto_a_page(many(0.25), *MOVES[name]))
    assert len(times) == CHANGES
    assert max(times) <= SEEN_WITHIN - DRAWN_WITHIN


def test_a_change_of_a_rollout_is_known_in_time_to_be_seen() -> None:
    times = run_leaping(on_its_page(many(0.15)))
    assert len(times) == CHANGES
    assert max(times) <= SEEN_WITHIN - DRAWN_WITHIN


@pytest.mark.parametrize("long", [1.0, 2.5, 9.0])
def test_a_long_history_holds_up_no_change_of_its_rollout(long: float) -> None:
    fake = many(0.15)
    fake.long = long
    times = run_leaping(on_its_page(fake))
    # Whoever follows from the first is told the first with the looks, or after the page's own patience.
    assert max(times[1:]) <= SEEN_WITHIN - DRAWN_WITHIN


def test_temporal_is_asked_no_more_than_once_a_second() -> None:
    assert 55 <= run_leaping(rounds(many(0.01), 60)) <= 61
