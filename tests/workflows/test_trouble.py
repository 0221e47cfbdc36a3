"""When the router, the metric store, the judge, the ledger, the fleet or a channel fails."""

from __future__ import annotations

import pytest
from temporalio.exceptions import ApplicationError

from coalmine.records import TASK_QUEUE, CanaryInput, Cause, Check, Outcome, Phase, RolloutReport
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import GOOD, HARM, World


def error(kind: str, message: str = "no", *, final: bool = True) -> ApplicationError:
    return ApplicationError(message, type=kind, non_retryable=final)


def titles(world: World) -> list[str]:
    return [notice.notification.title for notice in world.notices]


async def test_a_rejected_route_restores_and_fails(rollout: Rollout, world: World) -> None:
    world.shift_errors = [error("RouteRejected", "cluster checkout-v2 is unknown")]
    await rollout.start()
    report = await rollout.result()
    assert (report.outcome, report.cause, report.exit) == (Outcome.FAILED, Cause.ERROR, 1)
    assert report.reason == "RouteRejected: cluster checkout-v2 is unknown"
    assert world.route == {"checkout-v1": 100.0}
    # The write may have happened half: the snapshot is written again, with a higher generation.
    assert [write.generation for write in world.writes] == [2]
    assert world.bans == {}


async def test_a_router_that_answers_again_is_enough(rollout: Rollout, world: World) -> None:
    world.shift_errors = [error("RouterUnreachable", final=False), error("RouteUnconfirmed", final=False)]
    await rollout.start()
    report = await rollout.result()
    assert report.outcome is Outcome.PROMOTED
    assert [write.generation for write in world.writes] == [1, 2, 3]


async def test_a_router_that_never_answers_fails(rollout: Rollout, world: World) -> None:
    world.shift_failing = "RouterUnreachable"
    await rollout.start()
    await rollout.reach(Phase.ROLLING_BACK)
    world.shift_failing = ""
    report = await rollout.result()
    assert report.outcome is Outcome.FAILED
    assert world.route == {"checkout-v1": 100.0}


async def test_a_stranger_is_overtaken(rollout: Rollout, world: World) -> None:
    await rollout.start()
    await rollout.until(lambda now: now.step == 0 and now.looks == 1)
    world.generation = 41
    await rollout.until(lambda now: now.step == 1)
    await rollout.soon(lambda now: now.canary_weight == 50)
    assert world.generation == 42
    assert "overtaken" in world.kinds()
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_a_stranger_does_not_stop_a_rollback(rollout: Rollout, world: World) -> None:
    await rollout.start()
    await rollout.until(lambda now: now.looks == 1)
    world.route, world.generation = {"checkout-v1": 70.0, "checkout-v2": 30.0}, 41
    await rollout.send("rollback")
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK
    assert (world.route, world.generation) == ({"checkout-v1": 100.0}, 42)


@pytest.mark.parametrize("kind", ["RouterUnreachable", "RouteRejected"])
async def test_a_restore_that_fails_for_minutes_is_told_and_never_given_up(
    rollout: Rollout, world: World, kind: str
) -> None:
    await rollout.start()
    await rollout.until(lambda now: now.looks == 1)
    world.shift_failing, world.shift_failing_final = kind, kind == "RouteRejected"
    await rollout.send("rollback", reason="bad")
    await rollout.reach(Phase.ROLLING_BACK)
    await rollout.sleep(50)
    assert "Rollback is not confirmed yet" not in titles(world)
    for _ in range(30):
        await rollout.sleep(30)
    status = await rollout.status()
    assert (status.phase, status.restored) == (Phase.ROLLING_BACK, False)
    assert world.canary == 10
    # After one minute and after ten; not at every try.
    assert titles(world).count("Rollback is not confirmed yet") == 2
    events = await rollout.events()
    assert len(events) < 1_000
    world.shift_failing = ""
    report = await rollout.result()
    assert report.outcome is Outcome.ROLLED_BACK
    assert report.seconds_to_restore is not None
    assert report.seconds_to_restore > 900
    assert world.route == {"checkout-v1": 100.0}


async def test_a_restore_that_reads_back_wrong_is_repeated(rollout: Rollout, world: World) -> None:
    await rollout.start()
    await rollout.until(lambda now: now.looks == 1)
    world.shown_wrong = 2
    await rollout.send("rollback")
    report = await rollout.result()
    assert world.shown_wrong == 0
    assert report.outcome is Outcome.ROLLED_BACK
    assert world.kinds().count("restore_failed") == 1
    assert [write.generation for write in world.writes] == [1, 2, 3, 4]


async def test_a_proxy_that_reads_back_wrong_is_not_restored(rollout: Rollout, world: World) -> None:
    await rollout.start()
    await rollout.until(lambda now: now.looks == 1)
    world.stuck_proxies = 1
    await rollout.send("rollback")
    await rollout.reach(Phase.ROLLING_BACK)
    await rollout.sleep(20)
    assert (await rollout.status()).restored is False
    world.stuck_proxies = 0
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK


async def test_a_source_that_refuses_is_no_data(rollout: Rollout, world: World) -> None:
    await rollout.start()
    await rollout.until(lambda now: now.looks == 2)
    world.collect_error = "connection refused"
    status = await rollout.until(lambda now: now.verdicts[0].verdict == "no_data")
    assert status.verdicts[0].sentence == "collecting failed: SourceUnreachable: connection refused"
    report = await rollout.result()
    assert (report.outcome, report.cause) == (Outcome.ROLLED_BACK, Cause.DEADLINE)
    assert world.route == {"checkout-v1": 100.0}


async def test_a_judge_that_fails_gives_the_release_back(rollout: Rollout, world: World) -> None:
    world.evaluate_error = error("ValueError", "negative count")
    await rollout.start()
    report = await rollout.result()
    assert (report.outcome, report.reason) == (Outcome.FAILED, "ValueError: negative count")
    assert world.route == {"checkout-v1": 100.0}


async def test_advancing_waits_for_the_ledger(rollout: Rollout, world: World) -> None:
    await rollout.start()
    await rollout.until(lambda now: now.looks == 2)
    world.ledger_down = True
    await rollout.sleep(600)
    status = await rollout.status()
    assert (status.step, status.canary_weight) == (0, 10)
    assert status.unmet == ["the ledger has not taken the record yet"]
    assert titles(world).count("The ledger takes no entries") == 1
    # Looks went on all the time.
    assert status.looks > 50
    world.ledger_down = False
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    assert [sequence for _, sequence in sorted(world.ledger)] == list(range(1, len(world.ledger) + 1))


async def test_a_pause_while_the_ledger_is_waited_for_stops_the_advance(rollout: Rollout, world: World) -> None:
    await rollout.start()
    await rollout.until(lambda now: now.looks == 5)
    world.ledger_down = True
    await rollout.until(lambda now: now.unmet == ["the ledger has not taken the record yet"])
    await rollout.say("pause")
    world.ledger_down = False
    await rollout.sleep(60)
    status = await rollout.status()
    assert (status.step, world.canary) == (0, 10)
    assert status.unmet == ["it is paused"]
    await rollout.say("resume")
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_a_rollback_while_the_ledger_is_waited_for(rollout: Rollout, world: World) -> None:
    await rollout.start()
    await rollout.until(lambda now: now.looks == 5)
    world.ledger_down = True
    await rollout.until(lambda now: now.unmet == ["the ledger has not taken the record yet"])
    await rollout.send("rollback")
    await rollout.happens(lambda: world.canary == 0)
    assert [write.weights.get("checkout-v2", 0) for write in world.writes] == [10, 0]


async def test_a_rollback_does_not_wait_for_the_ledger(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: HARM if number > 2 else GOOD
    await rollout.start()
    await rollout.until(lambda now: now.looks == 2)
    world.ledger_down = True
    await rollout.until(lambda now: now.phase in (Phase.ROLLING_BACK, Phase.CLOSED))
    await rollout.soon(lambda now: now.restored is True)
    assert world.canary == 0
    report = await rollout.result()
    assert (report.outcome, report.ledger_complete) == (Outcome.ROLLED_BACK, False)
    assert "The ledger lacks entries" in titles(world)


async def test_what_the_ledger_missed_is_flushed_at_the_end(rollout: Rollout, world: World) -> None:
    await rollout.start()
    await rollout.until(lambda now: now.looks == 1)
    world.ledger_down = True
    await rollout.send("rollback")
    await rollout.reach(Phase.CLOSED)
    world.ledger_down = False
    report = await rollout.result()
    assert report.ledger_complete
    assert [sequence for _, sequence in sorted(world.ledger)] == list(range(1, len(world.ledger) + 1))
    assert world.kinds()[-2:] == ["closed", "archived"]


async def test_messages_that_cannot_be_delivered_are_on_the_record(rollout: Rollout, world: World) -> None:
    world.notify_error = error("HookRefused", "404")
    await rollout.start()
    await rollout.until(lambda now: now.looks == 1)
    await rollout.send("rollback")
    report = await rollout.result()
    assert report.ledger_complete
    assert world.kinds().count("undelivered") == 3
    assert [sequence for _, sequence in sorted(world.ledger)] == list(range(1, len(world.ledger) + 1))


async def test_channels_that_hang_do_not_hold_the_end_up_for_long(rollout: Rollout, world: World) -> None:
    world.notify_error = error("HookUnreachable", "timeout", final=False)
    await rollout.start()
    report = await rollout.result()
    assert report.outcome is Outcome.PROMOTED


async def test_a_start_waits_for_the_fleet_and_a_rollback_does_not(rollout: Rollout, world: World) -> None:
    world.fleet_silent = True
    await rollout.start()
    await rollout.sleep(3_600)
    assert (await rollout.status()).phase is Phase.ADMITTING
    assert len(await rollout.events()) < 200
    await rollout.send("rollback", reason="never mind")
    report = await rollout.result()
    assert (report.outcome, report.cause, report.exit) == (Outcome.ROLLED_BACK, Cause.HUMAN, 4)
    assert world.writes == []
    # It has no number, but a record.
    assert report.rollout_id.startswith("test/checkout/1.1.0/")
    assert report.ledger_complete
    assert world.kinds()[-2:] == ["closed", "archived"]


async def test_the_fleet_answers_late(rollout: Rollout, world: World) -> None:
    world.fleet_silent = True
    await rollout.start()
    await rollout.sleep(90)
    world.fleet_silent = False
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_a_router_that_cannot_blocks(rollout: Rollout, world: World) -> None:
    world.checks = [Check(ok=False, name="weights", reason="0.1 % is finer than 1 %")]
    receipt = await rollout.submit()
    assert (receipt.disposition, receipt.reason) == ("blocked", "weights: 0.1 % is finer than 1 %")
    report = await rollout.result()
    assert (report.outcome, report.exit) == (Outcome.BLOCKED, 5)
    assert world.writes == []


async def test_a_route_that_cannot_be_read_blocks(rollout: Rollout, world: World) -> None:
    world.read_errors = [error("RouteRejected", "no such route")]
    receipt = await rollout.submit()
    assert receipt.disposition == "blocked"
    assert "cannot be read: RouteRejected: no such route" in receipt.reason


async def test_traffic_that_is_not_on_the_baseline_blocks(rollout: Rollout, world: World) -> None:
    world.route = {"checkout-v1": 60.0, "checkout-v0": 40.0}
    receipt = await rollout.submit()
    assert receipt.disposition == "blocked"
    assert "the route shows checkout-v0 40 %, checkout-v1 60 %" in receipt.reason


async def test_another_workflow_id_is_not_the_lock(rollout: Rollout, world: World) -> None:
    given = CanaryInput(service="checkout", environment="test", submission=make_submission())
    await rollout.client.start_workflow("Canary", given, id="my-canary", task_queue=TASK_QUEUE)
    rollout.handle = rollout.client.get_workflow_handle("my-canary", result_type=RolloutReport)
    report = await rollout.result()
    assert report.outcome is Outcome.BLOCKED
    assert "must be 'canary/test/checkout'" in report.reason


async def test_a_wrong_spec_is_blocked_with_every_reason(rollout: Rollout, world: World) -> None:
    steps = [{"weight": 50, "for": "1m"}, {"weight": 10, "for": "1m"}]
    receipt = await rollout.submit(make_submission(make_spec(steps=steps)))
    assert receipt.disposition == "blocked"
    assert "steps" in receipt.reason
    assert world.writes == []
