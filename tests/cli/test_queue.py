"""A start that waits for another, takes its place, or waits for a slot: what is printed, and how the watcher ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coalmine.cli._specs import read_spec
from coalmine.records import Phase
from tests.cli.conftest import Desk


def another(desk: Desk, version: str, policy: str, **changes: Any) -> str:
    """A spec of another version."""
    arms = {
        "baseline": {"version": "1.0.0", "backend": "checkout-v1"},
        "canary": {"version": version, "backend": "checkout-v3"},
    }
    promotion = {"bake": "1s", "rollback_window": "1s", "when_busy": policy}
    steps = [{"weight": 10, "for": "1s"}]
    changes = {"arms": arms, "promotion": promotion, "steps": steps, "policy": {"look": "1s"}, **changes}
    return desk.write(name=f"{version}.yaml", **changes)


async def test_a_queued_start_tells_its_place_and_is_withdrawn(busy_desk: Desk) -> None:
    desk = busy_desk
    queued = await desk.type("start", another(desk, "1.2.0", "queue"))
    assert queued.code == 0
    assert "checkout 1.2.0: accepted, and waits" in queued.out
    assert "1st in line: 1.1.0 is stepping; 1.2.0 starts when it is over" in queued.out
    data = (await desk.type("start", another(desk, "1.3.0", "queue"), "-o", "json")).data
    assert (data["disposition"], data["position"], data["outcome"], data["exit"]) == ("queued", 2, None, None)
    shown = await desk.type("status", "checkout")
    assert "1.2.0 (by ana@example.org), then 1.3.0 (by ana@example.org)" in shown.out
    gone = await desk.type("withdraw", "checkout", "1.2.0", "-m", "not today")
    assert (gone.code, gone.out) == (0, "1.2.0 will not start: withdrawn by ana@example.org: not today\n")
    wrong = await desk.type("withdraw", "checkout", "1.2.0")
    assert wrong.code == 2
    assert "1.2.0 does not wait behind 1.1.0 (waiting: 1.3.0)" in wrong.err
    refused = await desk.type("start", another(desk, "1.4.0", "reject"))
    assert refused.code == 5
    assert "one rollout at a time (when_busy: reject)" in refused.out


async def test_the_watcher_of_a_queued_start_ends_with_its_own_outcome(busy_desk: Desk) -> None:
    desk = busy_desk
    watching = asyncio.create_task(desk.type("start", another(desk, "1.2.0", "queue"), "--watch", "-o", "json"))
    status = await desk.until(lambda status: bool(status.waiting))
    assert status.version == "1.1.0"
    await desk.coalmine.send(desk.ref, desk.verb("rollback"), by="bo@example.org")
    ended = await watching
    assert (ended.code, ended.data["version"], ended.data["outcome"]) == (0, "1.2.0", "promoted")


async def test_who_is_superseded_before_it_began_exits_with_9(busy_desk: Desk) -> None:
    desk = busy_desk
    desk.world.shift_failing = "RouterUnreachable"
    first = asyncio.create_task(desk.type("start", another(desk, "1.2.0", "supersede"), "--watch", "-o", "json"))
    await desk.until(lambda status: status.phase is Phase.ROLLING_BACK and bool(status.waiting))
    third = await desk.coalmine.start(read_spec(another(desk, "1.3.0", "supersede")), by="bo@example.org")
    assert third.disposition == "queued"
    ended = await first
    assert ended.code == 9
    assert (ended.data["version"], ended.data["outcome"]) == ("1.2.0", "superseded")
    assert ended.data["reason"] == "superseded by 1.3.0 before it began"
    desk.world.shift_failing = ""


async def test_slots_are_shown_limited_and_freed(desk: Desk) -> None:
    empty = await desk.type("slots", "-e", "test")
    assert (empty.code, empty.out) == (0, "test: no limit; 0 running, 0 waiting\n")
    set_ = await desk.type("slots", "-e", "test", "--limit", "2", "-m", "one team", "-o", "json")
    assert (set_.data["limit"], set_.data["set_by"], set_.data["reason"]) == (2, "ana@example.org", "one team")
    assert "at most 2 at once (set by ana@example.org: one team)" in (await desk.type("slots", "-e", "test")).out
    lifted = await desk.type("slots", "-e", "test", "--limit", "none", "-o", "json")
    assert (lifted.data["limit"], lifted.data["running"], lifted.data["waiting"]) == (None, [], [])


@pytest.mark.parametrize("limit", ["0", "-1", "few", "1.5", "99999999999"])
async def test_a_limit_that_means_nothing_is_refused(desk: Desk, limit: str) -> None:
    wrong = await desk.type("slots", "-e", "test", f"--limit={limit}")
    assert wrong.code == 2
    assert "must be a number from 1 to 10000, or 'none'" in wrong.err
