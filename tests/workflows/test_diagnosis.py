"""What points to the cause is looked for beside the rollout: after the route is back, bounded, and never in the way."""

from __future__ import annotations

import asyncio

from temporalio.exceptions import ApplicationError

from coalmine.records import Finding, Outcome, Phase
from coalmine.report import tell
from coalmine.spec.digest import spec_digest
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission, quick
from tests.workflows.world import GOOD, HARM, World


def harmful_from(look: int, world: World) -> None:
    world.judge = lambda number, stage: HARM if number >= look else GOOD


async def test_a_rollback_is_diagnosed_once_the_route_is_back(rollout: Rollout, world: World) -> None:
    harmful_from(3, world)
    await rollout.submit(make_submission(make_spec()))
    report = await rollout.result()
    assert report.outcome is Outcome.ROLLED_BACK
    assert world.weight_when_diagnosing == [0]
    kinds = world.kinds()
    assert kinds[kinds.index("roll_back") :] == ["roll_back", "shifted", "diagnosis", "closed", "archived"]
    request = world.diagnoses[0]
    assert [metric.name for metric in request.metrics] == ["errors"]
    assert request.decision == "roll_back"
    assert request.reason == "errors: canary 9 % against 1 %"
    assert request.compare
    assert request.share == 0.1, "as it was when it was decided"
    assert request.window.end == world.windows["errors"][-1].end
    assert request.window.start <= world.windows["errors"][0].start
    entry = next(entry for entry in world.ledger.values() if entry.kind == "diagnosis")
    assert entry.reason == entry.data["diagnosis"]["sentence"] == "errors: route /pay"
    assert report.diagnosis is not None
    assert report.diagnosis.sentence == "errors: route /pay"
    told = next(notice.notification for notice in world.notices if notice.notification.outcome is Outcome.ROLLED_BACK)
    assert "\nerrors: route /pay\nlogs: https://logs.example/\n" in told.text
    assert told.text.endswith(f"\nWhat did it teach? coalmine insights {report.rollout_id} --write '...'")
    story = tell(list(world.ledger.values()))
    assert story.notes == []
    assert story.diagnoses[0].sentence == "errors: route /pay"
    assert [shift.weight for shift in story.weights] == [10, 0]
    assert [point.look for point in story.metrics[0].points] == [1, 2, 3]
    assert story.spec["service"] == "checkout"
    assert story.spec_hash == spec_digest(make_spec())
    assert await rollout.failed_tasks() == []


async def test_a_diagnosis_that_hangs_delays_nothing_and_is_given_up(live: Rollout, world: World) -> None:
    harmful_from(2, world)
    world.diagnosis_gate = asyncio.Event()
    await live.submit(make_submission(quick(diagnose={"timeout": "1s"})))
    await live.soon(lambda status: status.restored is True)
    assert world.route == {"checkout-v1": 100.0}
    report = await live.result(0.1)
    assert report.outcome is Outcome.ROLLED_BACK
    assert report.diagnosis is None
    entry = next(entry for entry in world.ledger.values() if entry.kind == "diagnosis")
    assert "did not finish in time" in entry.reason
    assert len(world.diagnoses) <= 2


async def test_a_diagnosis_that_fails_is_noted_and_no_more(rollout: Rollout, world: World) -> None:
    harmful_from(2, world)
    world.diagnosis_error = ApplicationError("broken", type="LedgerCorrupt", non_retryable=True)
    await rollout.submit(make_submission(make_spec()))
    report = await rollout.result()
    assert report.outcome is Outcome.ROLLED_BACK
    assert report.diagnosis is None
    entry = next(entry for entry in world.ledger.values() if entry.kind == "diagnosis")
    assert entry.reason == "LedgerCorrupt: broken"
    assert "diagnosis" not in entry.data


async def test_a_hold_is_diagnosed_while_looks_go_on(live: Rollout, world: World) -> None:
    world.judge = lambda number, stage: (Finding.SIGNAL, "latency is worse") if number == 2 else GOOD
    world.diagnosis_gate = asyncio.Event()
    await live.submit(make_submission(quick()))
    held = await live.reach(Phase.HELD)
    await live.until(lambda status: status.looks > held.looks)
    assert (await live.status()).diagnosis is None
    world.diagnosis_gate.set()
    status = await live.until(lambda status: status.diagnosis is not None)
    assert status.phase is Phase.HELD
    assert world.diagnoses[0].decision == "hold"
    assert world.weight_when_diagnosing == [10]
    await live.send("rollback", reason="seen")
    assert (await live.result(0.1)).outcome is Outcome.ROLLED_BACK
    assert [request.decision for request in world.diagnoses] == ["hold", "roll_back"]
    titles = [notice.notification.title for notice in world.notices]
    assert any(title.endswith("what points to the cause") for title in titles)


async def test_a_rollback_before_any_look_has_nothing_to_diagnose(rollout: Rollout, world: World) -> None:
    await rollout.submit(make_submission(make_spec()))
    await rollout.reach(Phase.STEPPING)
    await rollout.send("rollback", reason="wrong version")
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK
    assert world.diagnoses == []


async def test_advice_to_hold_is_diagnosed_too(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: (Finding.SIGNAL, "latency is worse") if number == 2 else GOOD
    await rollout.submit(make_submission(make_spec(), advise=True))
    report = await rollout.result()
    assert report.advice == "hold"
    assert report.diagnosis is not None


async def test_in_the_bake_there_is_no_baseline_to_compare_with(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: HARM if stage == "bake" else GOOD
    await rollout.submit(make_submission(make_spec()))
    await rollout.result()
    assert [request.compare for request in world.diagnoses] == [False]
    assert world.diagnoses[0].window.start >= world.windows["errors"][0].end
