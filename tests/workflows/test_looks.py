"""Looks go on whatever people do; windows tile whatever the metric store does."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from coalmine.records import Cause, Outcome, Phase
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.windows import seconds, tiles
from tests.workflows.world import HARM, SILENT, UNDECIDED, World

TWO: list[dict[str, Any]] = [
    {"name": "errors", "kind": "ratio", "source": "prometheus", "template": "envoy", "max": 0.05},
    {"name": "latency", "kind": "latency", "source": "prometheus", "template": "envoy"},
]


def titles(world: World) -> list[str]:
    return [notice.notification.title for notice in world.notices]


def lengths(world: World, metric: str) -> list[float]:
    return [seconds(window) for window in world.windows[metric]]


async def start(rollout: Rollout, metrics: list[dict[str, Any]] | None = None, **policy: Any) -> None:
    changes = {"metrics": metrics} if metrics else {}
    spec = make_spec(policy={"look": "10s", "no_data_limit": "2m", **policy}, **changes)
    await rollout.start(make_submission(spec))


async def test_looks_go_on_while_paused_and_nothing_advances(rollout: Rollout, world: World) -> None:
    await start(rollout)
    await rollout.until(lambda now: now.looks == 1)
    await rollout.say("pause")
    await rollout.sleep(300)
    status = await rollout.status()
    assert (status.phase, status.paused, status.step) == (Phase.STEPPING, True, 0)
    assert status.looks in range(27, 33)
    assert status.unmet == ["it is paused"]
    assert world.canary == 10
    await rollout.say("resume")
    await rollout.soon(lambda now: now.canary_weight == 50)
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_harm_while_paused_rolls_back(rollout: Rollout, world: World) -> None:
    await start(rollout)
    await rollout.until(lambda now: now.looks == 1)
    await rollout.say("pause")
    await rollout.sleep(100)
    world.judge = lambda number, stage: HARM
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK
    assert world.canary == 0


async def test_a_pause_stops_the_bakes_clock(rollout: Rollout, world: World) -> None:
    await start(rollout)
    status = await rollout.reach(Phase.BAKING)
    ends = status.deadline_at
    await rollout.say("pause")
    looks = (await rollout.status()).looks
    await rollout.sleep(200)
    status = await rollout.status()
    assert status.phase is Phase.BAKING
    assert status.looks - looks in range(17, 22)
    await rollout.say("resume")
    after = (await rollout.status()).deadline_at
    assert ends is not None
    assert after is not None
    assert (after - ends).total_seconds() == pytest.approx(200, abs=2)
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_after_an_outage_one_long_window_catches_up(rollout: Rollout, world: World) -> None:
    await start(rollout)
    await rollout.until(lambda now: now.looks == 2)
    world.silent = True
    await rollout.sleep(60)
    status = await rollout.status()
    assert (status.step, status.canary_weight) == (0, 10)
    assert status.unmet[-1] == "'errors' has no data"
    world.silent = False
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    compare = sum(look.stage == "compare" for look in world.evaluations) - 6
    windows = world.windows["errors"][:compare]
    assert tiles(windows)
    assert lengths(world, "errors")[:4] == pytest.approx([8, 10, 65, 10], abs=7)
    assert titles(world).count("No data") == 1
    assert titles(world).count("Data is back") == 1


async def test_one_of_two_metrics_silent(rollout: Rollout, world: World) -> None:
    await start(rollout, TWO)
    await rollout.until(lambda now: now.looks == 2)
    world.silent_metrics = {"latency"}
    await rollout.sleep(60)
    assert (await rollout.status()).step == 0
    world.silent_metrics = set()
    await rollout.until(lambda now: now.step == 1 and now.looks > 12)
    errors, latency = world.windows["errors"], world.windows["latency"]
    assert tiles(errors)
    assert tiles(latency)
    assert errors[-1].end == latency[-1].end
    assert lengths(world, "latency")[:3] == pytest.approx([8, 10, 65], abs=7)
    assert lengths(world, "errors")[1:8] == pytest.approx([10] * 7, abs=2)
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_a_silent_signal_does_not_stop_the_count_of_requests(rollout: Rollout, world: World) -> None:
    metrics = [TWO[0], {**TWO[1], "role": "signal"}]
    world.silent_metrics = {"latency"}
    world.silence_is_a_finding = False
    steps = [{"weight": 10, "for": "20s", "min_requests": 300}]
    spec = make_spec(policy={"look": "10s"}, metrics=metrics, steps=steps)
    await rollout.start(make_submission(spec))
    assert (await rollout.result()).outcome is Outcome.PROMOTED


@pytest.mark.parametrize(("action", "phase"), [("roll_back", Phase.CLOSED), ("hold", Phase.HELD)])
async def test_no_data_up_to_the_limit(rollout: Rollout, world: World, action: str, phase: Phase) -> None:
    await start(rollout, no_data=action)
    await rollout.until(lambda now: now.looks == 2)
    world.silent = True
    status = await rollout.until(lambda now: now.phase in (Phase.HELD, Phase.CLOSED))
    assert status.phase is phase
    reason = status.held_reason or status.reason
    assert reason.startswith("no data for 2m")
    assert max(write.weights.get("checkout-v2", 0) for write in world.writes) == 10
    assert titles(world).count("No data") == 1
    if phase is Phase.CLOSED:
        report = await rollout.result()
        assert (report.outcome, report.cause) == (Outcome.ROLLED_BACK, Cause.DEADLINE)
        return
    world.silent = False
    await rollout.until(lambda now: now.verdicts[0].verdict == "pass")
    assert (await rollout.status()).phase is Phase.HELD
    await rollout.say("resume")
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    compare = [look for look in world.evaluations if look.stage == "compare"]
    assert tiles(world.windows["errors"][: len([c for c in compare if c.counts[0].status == "ok"])])


async def test_resuming_a_silent_hold_gives_the_data_its_limit_again(rollout: Rollout, world: World) -> None:
    await start(rollout, no_data="hold")
    world.silent = True
    await rollout.reach(Phase.HELD)
    await rollout.say("resume")
    await rollout.sleep(60)
    assert (await rollout.status()).phase is Phase.STEPPING
    await rollout.reach(Phase.HELD)


async def test_recovery_before_the_limit_starts_the_clock_anew(rollout: Rollout, world: World) -> None:
    await start(rollout)
    await rollout.until(lambda now: now.looks == 1)
    await rollout.say("pause")
    for _ in range(3):
        world.silent = True
        await rollout.sleep(100)
        world.silent = False
        await rollout.sleep(20)
    assert (await rollout.status()).phase is Phase.STEPPING
    await rollout.say("resume")
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_silence_flapping_never_advances_on_a_silent_look(rollout: Rollout, world: World) -> None:
    await start(rollout)
    flaps = 0

    def judge(number: int, stage: str) -> tuple[Any, str]:
        nonlocal flaps
        flaps += 1
        return SILENT if flaps % 2 else (UNDECIDED if flaps % 4 else HARM)

    world.judge = judge
    await rollout.until(lambda now: now.phase in (Phase.ROLLING_BACK, Phase.CLOSED) or now.step > 0)
    entries = [entry for entry in (await rollout.decisions()).entries if entry.kind == "look"]
    assert all(entry.data["action"] == "continue" for entry in entries if entry.data["finding"] == "no_data")


async def test_no_data_in_the_bake_rolls_back(rollout: Rollout, world: World) -> None:
    await start(rollout)
    await rollout.reach(Phase.BAKING)
    world.silent = True
    report = await rollout.result()
    assert (report.outcome, report.cause) == (Outcome.ROLLED_BACK, Cause.DEADLINE)
    assert world.canary == 0


async def test_looks_never_overlap(rollout: Rollout, world: World) -> None:
    await start(rollout)
    for _ in range(20):
        await rollout.sleep(1.3)
        await rollout.send("extend", **{"for": "1s"})
    await rollout.until(lambda now: now.step == 1)
    windows = world.windows["errors"]
    assert tiles(windows)
    assert all(left.end < right.end for left, right in pairwise(windows))
    # What people say does not bring a look forward.
    assert lengths(world, "errors")[1:4] == pytest.approx([10] * 3, abs=2)
