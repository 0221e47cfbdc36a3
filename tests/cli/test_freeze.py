"""freeze and unfreeze, and the emergency brake over rollouts in flight."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coalmine.client import RolloutRef
from coalmine.records import Outcome, Phase, RolloutStatus
from tests.cli.conftest import Desk
from tests.workflows.harbour import GATED, Harbour, replay


@pytest.fixture
async def quay(empty_desk: Desk) -> Desk:
    """A desk whose worker asks the real fleet."""
    empty_desk.world = Harbour(client=empty_desk.client)
    await empty_desk.serve()
    return empty_desk


async def begin(desk: Desk, service: str, **changes: Any) -> RolloutRef:
    """Start a rollout of a service, up to its gate."""
    spec = desk.write(name=f"{service}.yaml", **{"service": service, "steps": GATED, **changes})
    started = await desk.type("start", spec, "-o", "json")
    assert started.code == 0, started.err
    return RolloutRef(started.data["workflow_id"])


async def phase(desk: Desk, ref: RolloutRef, wanted: Phase) -> None:
    """Wait until it is there."""
    async for status in desk.coalmine.follow(ref, every=0.1):
        if isinstance(status, RolloutStatus) and status.phase is wanted:
            return


async def test_freeze_list_and_unfreeze(quay: Desk) -> None:
    empty = await quay.type("freeze", "--list", "-e", "test")
    assert (empty.code, empty.out.strip()) == (0, "")
    assert "nothing is frozen in test" in empty.err
    frozen = await quay.type("freeze", "checkout", "-e", "test", "--until", "2027-01-07T09:00+01:00", "-m", "holidays")
    assert frozen.out == "checkout in test is frozen until 2027-01-07 08:00 UTC by ana@example.org: holidays\n"
    everywhere = await quay.type("freeze", "--everywhere", "--for", "2h", "-m", "storm")
    assert everywhere.out.startswith("every environment is frozen until ")
    listed = await quay.type("freeze", "--list", "-e", "test")
    shown = [line.split("  ")[0] for line in listed.out.splitlines()]
    assert shown == ["frozen", "every environment", "checkout in test"]
    data = (await quay.type("freeze", "--list", "-e", "test", "-o", "json")).data
    assert [one["service"] for one in data["freezes"]] == [None, "checkout"]

    for service, said in (("checkout", "checkout in test"), ("search", "every environment")):
        blocked = await quay.type("start", quay.write(service=service))
        assert (blocked.code, f"freeze: {said} is frozen until" in blocked.out) == (5, True)
        await quay.client.get_workflow_handle(f"canary/test/{service}").result()
    lifted = await quay.type("unfreeze", "--everywhere")
    assert lifted.out.endswith("by ana@example.org: storm\n")
    assert (await quay.type("start", quay.write(service="search", steps=GATED))).code == 0
    overridden = await quay.type("start", quay.write(service="checkout"), "--during-freeze", "-m", "leaks")
    assert overridden.code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["freeze", "-m", "x"], "-e/--environment is missing"),
        (["freeze", "-e", "test"], "'reason' is empty: say why nothing may start"),
        (["freeze", "-e", "a b", "-m", "x"], "environment: 'a b' cannot be a name"),
        (["freeze", "a/b", "-e", "test", "-m", "x"], "service: 'a/b' cannot be a name"),
        (["freeze", "-e", "test", "-m", "x", "--until", "tomorrow"], "'tomorrow' must be a time"),
        (["freeze", "-e", "test", "-m", "x", "--until", "2027-01-01T00:00"], "names no time zone"),
        (["freeze", "-e", "test", "-m", "x", "--until", "2020-01-01T00:00Z"], "it must lie ahead"),
        (["freeze", "-e", "test", "--list", "-m", "x"], "--list only shows what is frozen"),
        (["freeze", "a", "-e", "test", "-m", "x", "--brake", "hold"], "the brake is for a whole environment"),
        (["unfreeze", "-e", "test"], "test is not frozen (nothing is)"),
        (["start", "spec.yaml", "--during-freeze"], "--during-freeze needs a reason"),
    ],
)
async def test_wrong_words_are_told(quay: Desk, words: list[str], said: str) -> None:
    quay.write()
    wrong = await quay.type(*words)
    assert (wrong.code, said in wrong.err) == (2, True), wrong.err


async def test_the_brake_rolls_back_what_is_in_flight_and_leaves_what_was_promoted(quay: Desk) -> None:
    gated, paused = await begin(quay, "gated"), await begin(quay, "paused")
    elsewhere = await begin(quay, "gated", environment="other")
    for ref in (gated, paused, elsewhere):
        await phase(quay, ref, Phase.GATED)
    promoted = {"steps": [{"weight": 10, "for": "1s"}], "promotion": {"bake": "1s", "rollback_window": "1h"}}
    done = await begin(quay, "done", **promoted, policy={"look": "1s"})
    await phase(quay, done, Phase.WINDOW)
    assert (await quay.type("pause", "paused", "-e", "test")).code == 0

    braked = await quay.type("freeze", "-e", "test", "-m", "fire", "--brake", "roll_back", "-o", "json")
    assert braked.code == 0, braked.err
    assert braked.data["brake"]["told"] == ["canary/test/gated", "canary/test/paused"]
    for ref in (gated, paused):
        await phase(quay, ref, Phase.CLOSED)
        report = await quay.coalmine.report(ref)
        assert report is not None
        assert report.outcome is Outcome.ROLLED_BACK
        reasons = [entry.reason for entry in (await quay.coalmine.decisions(ref)).entries]
        assert "rollback by ana@example.org: emergency brake: fire" in reasons
    assert (await quay.coalmine.status(done)).phase is Phase.WINDOW
    assert (await quay.coalmine.status(elsewhere)).phase is Phase.GATED
    listed = await quay.type("freeze", "--list", "-e", "test")
    assert "emergency brake (roll back, by ana@example.org): 2 took it" in listed.out
    await replay(quay.client, "fleet/test", gated.workflow_id)
    assert (await quay.type("start", quay.write(service="late"))).code == 5


async def test_the_brake_everywhere_pauses_all_until_each_is_resumed(quay: Desk) -> None:
    here, there = await begin(quay, "shop"), await begin(quay, "shop", environment="other")
    braked = await quay.type("freeze", "--everywhere", "-m", "storm", "--brake", "hold", "-o", "json")
    assert braked.code == 0, braked.err
    assert braked.data["brake"]["told"] == ["canary/other/shop", "canary/test/shop"]
    for ref in (here, there):
        async for status in quay.coalmine.follow(ref, every=0.1):
            if isinstance(status, RolloutStatus) and status.paused:
                break
    assert (await quay.type("unfreeze", "--everywhere")).code == 0
    assert (await quay.coalmine.status(here)).paused
    assert (await quay.type("resume", "shop", "-e", "test")).code == 0


async def test_a_rollout_that_is_still_admitted_is_paused_once_it_steps(quay: Desk) -> None:
    world = quay.world
    world.read_gate = asyncio.Event()
    starting = asyncio.create_task(begin(quay, "shop", steps=[{"weight": 10, "for": "10m"}]))
    async with asyncio.timeout(30):
        while not world.reading:
            await asyncio.sleep(0.05)
    braked = await quay.coalmine.freeze("test", by="ana", reason="storm", brake="hold")
    assert braked.brake is not None
    assert (braked.brake.told, braked.brake.done) == ([], False)
    assert "nothing to pause while it is admitting" in braked.brake.refused["canary/test/shop"]
    world.read_gate.set()
    ref = await starting
    async for status in quay.coalmine.follow(ref, every=0.1):
        if isinstance(status, RolloutStatus) and status.paused:
            break
    async with asyncio.timeout(30):
        while not (brake := (await quay.coalmine.freezes("test")).brake) or not brake.done:
            await asyncio.sleep(0.2)
    assert (brake.told, brake.refused) == (["canary/test/shop"], {})
