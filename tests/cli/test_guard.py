"""coalmine guard: on, changed, shown, off; and what doctor says of traffic."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from activities.guard import GuardActivities
from activities.guard_archive import GuardArchiveActivities
from coalmine.cli._traffic_health import of_guard
from coalmine.records import GuardSettings, GuardStatus, Phase
from coalmine.worker_settings import WorkerSettings
from tests.cli.conftest import Desk
from tests.workflows.guarding import WorldRouter
from worker import build_workers


@pytest.fixture
async def guard_desk(empty_desk: Desk) -> Desk:
    """A desk whose worker serves guards over the scripted world's route."""
    guard = GuardActivities(empty_desk.client, {"envoy": WorldRouter(empty_desk.world)})
    serving = build_workers(
        empty_desk.client,
        WorkerSettings(),
        main=[*empty_desk.world.activities, guard.survey_routes, guard.guard_restore],
        side=[*empty_desk.world.side_activities, GuardArchiveActivities(empty_desk.client).archive_closed],
        hooks=empty_desk.world.hook_activities,
    )
    for worker in serving:
        await empty_desk.served_by(worker)
    return empty_desk


async def test_on_changed_shown_and_off(guard_desk: Desk) -> None:
    never = await guard_desk.type("guard", "-e", "test", "--status")
    assert (never.code, never.out) == (0, "the guard of test is off\n")
    on = await guard_desk.type("guard", "-e", "test", "--every", "30s", "-o", "json")
    assert (on.code, on.data["running"], on.data["settings"]["policy"]) == (0, True, "restore")
    # What is not said stays as it is.
    changed = await guard_desk.type("guard", "-e", "test", "--policy", "tell", "--grace", "0s")
    assert changed.out.splitlines()[0] == "the guard of test looks every 30s; only tells (set by ana@example.org)"
    shown = (await guard_desk.type("guard", "-e", "test", "--status", "-o", "json")).data
    assert (shown["settings"]["every"], shown["findings"]) == ("30s", [])
    assert (await guard_desk.type("guard", "-e", "test", "--off")).out == "the guard of test is off\n"
    await guard_desk.client.get_workflow_handle("guard/test").result()
    again = await guard_desk.type("guard", "-e", "test", "--off")
    assert (again.code, "it is off already" in again.err) == (2, True)


async def test_a_dead_rollout_is_shown_by_both(guard_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    router = WorldRouter(guard_desk.world)
    monkeypatch.setattr("coalmine.cli._traffic_health.Routers", lambda: {"envoy": router})
    spec = guard_desk.write(steps=[{"weight": 10, "for": "10m"}], policy={"look": "1s"})
    assert (await guard_desk.type("start", spec)).code == 0
    await guard_desk.until(lambda status: status.phase is Phase.STEPPING and status.canary_weight == 10)
    await guard_desk.client.get_workflow_handle("canary/test/checkout").terminate("for the test")
    async with asyncio.timeout(30):
        while "traffic is split" not in (ill := await guard_desk.type("doctor")).out:
            await asyncio.sleep(0.1)  # Visibility lags a little behind.
    assert ill.code == 1
    line = next(line for line in ill.out.splitlines() if "traffic is split" in line)
    assert line.startswith("ERROR  traffic")
    assert "test/checkout: traffic is split: checkout-v1 90 %, checkout-v2 10 %" in line
    assert "coalmine guard -e test\n" in ill.out
    assert "the guard of test is off: what a terminated rollout leaves split" in ill.out
    assert (await guard_desk.type("guard", "-e", "test", "--policy", "tell")).code == 0
    async with asyncio.timeout(30):
        while "test/checkout" not in (shown := await guard_desk.type("guard", "-e", "test", "--status")).out:
            await asyncio.sleep(0.1)
    assert "split" in shown.out
    assert (await guard_desk.type("guard", "-e", "test", "--policy", "restore", "--grace", "0s")).code == 0
    async with asyncio.timeout(30):
        while guard_desk.world.canary:
            await asyncio.sleep(0.05)
    async with asyncio.timeout(30):
        while "1 routes at rest are as they have to be" not in (await guard_desk.type("doctor")).out:
            await asyncio.sleep(0.1)
    well = (await guard_desk.type("doctor")).out
    assert any(line.startswith("ok     guard") and "the guard of test looked " in line for line in well.splitlines())


NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("running", "ago", "failure", "level", "said"),
    [
        (False, None, "", "warning", "the guard of test is off: what a terminated rollout leaves split"),
        (True, None, "", "warning", "has not looked yet, and should every 30s"),
        (True, 20, "", "ok", "looked 20s ago, and should every 30s; findings open: 0"),
        (True, 80, "", "ok", "looked 1m20s ago"),
        (True, 91, "", "error", "looked 1m31s ago, and should every 30s: a worker is missing, or its looks fail"),
        (True, 20, "event 7 cannot be read", "warning", "but did not see everything: event 7 cannot be read"),
    ],
)
def test_what_doctor_says_of_a_guard(running: bool, ago: int | None, failure: str, level: str, said: str) -> None:
    found = GuardStatus(
        environment="test",
        running=running,
        settings=GuardSettings(every=timedelta(seconds=30)),
        last_look=NOW - timedelta(seconds=ago) if ago is not None else None,
        failure=failure,
    )
    told = of_guard(found, NOW)
    assert (told[0], said in told[1]) == (level, True), told
    assert bool(told[2]) == (level != "ok")


async def test_wrong_use_says_what_to_write(guard_desk: Desk) -> None:
    wrong = {
        "": "-e/--environment is missing",
        "-e test --off --status": "exclude each other",
        "-e test --status --policy tell": "exclude each other",
        "-e test --every 0s": "must be longer than zero",
        "-e test --policy mend": "invalid choice: 'mend'",
        "-e a/b": "cannot be a name",
        "-e test --every 200ms": "is too short",
    }
    for words, said in wrong.items():
        ran = await guard_desk.type("guard", *words.split())
        assert (ran.code, said in ran.err) == (2, True), ran.err
