"""Who may start what; what hooks are told; and what a submission hears."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.ledger import LedgerActivities
from activities.ledgers.file import FileLedger
from coalmine.backtest import read_trace
from coalmine.backtest.learnt import look_entries
from coalmine.records import Ban, Cause, Check, Outcome, Phase, Receipt, ServiceHistory
from tests.backtest.traces import draw
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import HARM, World

URL = "http://127.0.0.1/hook"


def refused(message: str) -> ApplicationError:
    return ApplicationError(message, type="HookRefused", non_retryable=True)


async def test_a_banned_version_is_blocked_for_automation(rollout: Rollout, world: World) -> None:
    world.bans["1.1.0"] = Ban(service="checkout", version="1.1.0", by="rollout x", reason="errors")
    receipt = await rollout.submit(make_submission(automated=True))
    assert receipt.disposition == "blocked"
    assert "1.1.0 was banned by rollout x: errors; a human may start it" in receipt.reason
    report = await rollout.result()
    assert (report.outcome, report.exit) == (Outcome.BLOCKED, 5)


async def test_a_human_may_start_a_banned_version(rollout: Rollout, world: World) -> None:
    world.bans["1.1.0"] = Ban(service="checkout", version="1.1.0", by="rollout x", reason="errors")
    receipt = await rollout.submit()
    assert receipt.disposition == "started"
    assert "banned by rollout x (errors), started by ana in person" in [check.reason for check in receipt.checks]


async def test_the_number_counts_the_rollouts_of_a_version(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: HARM
    for number in (1, 2):
        receipt = await rollout.submit()
        assert receipt.rollout_id == f"test/checkout/1.1.0/{number}"
        await rollout.result()
    assert {name for name, _ in world.ledger} == {"test/checkout/1.1.0/1", "test/checkout/1.1.0/2"}


async def test_hooks_in_their_order(rollout: Rollout, world: World) -> None:
    hooks = {"prepare": URL, "verify": URL, "retire": URL, "rolled_back": URL}
    await rollout.start(make_submission(make_spec(hooks=hooks)))
    await rollout.result()
    assert [hook.hook for hook in world.hooks] == ["prepare", "verify", "retire"]
    assert [hook.key for hook in world.hooks] == [
        f"test/checkout/1.1.0/1:{name}" for name in ("prepare", "verify", "retire")
    ]


async def test_the_hook_after_a_rollback(rollout: Rollout, world: World) -> None:
    world.judge = lambda number, stage: HARM
    await rollout.start(make_submission(make_spec(hooks={"rolled_back": URL, "retire": URL})))
    await rollout.result()
    assert [(hook.hook, hook.reason) for hook in world.hooks] == [("rolled_back", HARM[1])]


@pytest.mark.parametrize(
    ("hook", "outcome", "cause"),
    [("prepare", Outcome.FAILED, Cause.ERROR), ("verify", Outcome.ROLLED_BACK, Cause.ANALYSIS)],
)
async def test_a_hook_that_refuses(rollout: Rollout, world: World, hook: str, outcome: Outcome, cause: Cause) -> None:
    world.hook_errors[hook] = [refused("409: no capacity")]
    await rollout.start(make_submission(make_spec(hooks={"prepare": URL, "verify": URL, "rolled_back": URL})))
    report = await rollout.result()
    assert (report.outcome, report.cause) == (outcome, cause)
    assert report.reason == f"hook {hook}: HookRefused: 409: no capacity"
    assert world.route == {"checkout-v1": 100.0}
    # What was deployed is undone.
    assert world.hooks[-1].hook == "rolled_back"


@pytest.mark.parametrize("hook", ["retire", "rolled_back"])
async def test_a_last_hook_that_refuses_is_told_and_changes_nothing(rollout: Rollout, world: World, hook: str) -> None:
    world.hook_errors[hook] = [refused("404")]
    if hook == "rolled_back":
        world.judge = lambda number, stage: HARM
    await rollout.start(make_submission(make_spec(hooks={hook: URL})))
    report = await rollout.result()
    assert report.outcome is (Outcome.PROMOTED if hook == "retire" else Outcome.ROLLED_BACK)
    assert f"Hook {hook} failed" in [notice.notification.title for notice in world.notices]


async def test_blocked_after_prepare_is_blocked_and_undone(rollout: Rollout, world: World) -> None:
    world.checks = [Check(ok=False, name="health", reason="checkout-v2 has no healthy endpoint")]
    receipt = await rollout.submit(make_submission(make_spec(hooks={"prepare": URL, "rolled_back": URL})))
    assert (receipt.disposition, receipt.reason) == ("blocked", "health: checkout-v2 has no healthy endpoint")
    report = await rollout.result()
    assert report.outcome is Outcome.BLOCKED
    assert [hook.hook for hook in world.hooks] == ["prepare", "rolled_back"]
    assert world.writes == []
    assert world.bans == {}


async def test_history_is_read_once_and_given_to_every_look(rollout: Rollout, world: World) -> None:
    world.history = ServiceHistory(looks=80)
    receipt = await rollout.submit()
    assert receipt.reason == "judged with the noise of 80 earlier looks"
    await rollout.result()
    assert {look.judge.history.looks for look in world.evaluations if look.judge.history} == {80}


async def test_a_stored_period_of_the_service_against_itself_is_its_history(
    rollout: Rollout, world: World, tmp_path: Path
) -> None:
    world.past = LedgerActivities().read_history
    ledger = {"kind": "file", "path": str(tmp_path)}
    spec = make_spec(ledger=ledger)
    lines = draw(np.random.default_rng(3), 70, kinds=["errors"])
    trace = read_trace(lines, "aa", spec.metrics[:1])
    began = datetime.now(UTC) - timedelta(hours=2)
    trace.at = [began + look * timedelta(seconds=10) for look in range(trace.looks)]
    entries = look_entries(trace, "test/checkout/1.0.0/split-instance-x", datetime.now(UTC))
    await FileLedger(tmp_path).store_split("test/checkout", "1.0.0-instance-x", entries)
    receipt = await rollout.submit(make_submission(spec))
    assert receipt.reason == "judged with the noise of 70 earlier looks"
    await rollout.result()
    histories = [look.judge.history for look in world.evaluations if look.judge.history is not None]
    assert len(histories) == len(world.evaluations)
    assert {one.looks for one in histories} == {70}
    assert "events" in histories[0].channels["errors"]


# -------------------------------------------------------------------------------------------- submissions


async def test_the_same_version_attaches(rollout: Rollout, world: World) -> None:
    assert (await rollout.submit()).disposition == "started"
    again = await rollout.submit(make_submission(by="bo"))
    assert (again.disposition, again.reason) == ("attached", "1.1.0 is stepping already")
    other = await rollout.submit(make_submission(make_spec(steps=[{"weight": 20, "for": "1m"}])))
    assert "its spec differs from the one sent now, which is not used" in other.reason
    await rollout.reach(Phase.WINDOW)
    assert (await rollout.submit()).disposition == "attached"


async def test_two_submissions_at_once_are_one_rollout(rollout: Rollout, world: World) -> None:
    receipts = await asyncio.gather(*(rollout.submit() for _ in range(4)))
    assert sorted(receipt.disposition for receipt in receipts) == ["attached"] * 3 + ["started"]
    assert len({receipt.run_id for receipt in receipts}) == 1


def next_version() -> dict[str, dict[str, str]]:
    return {
        "baseline": {"version": "1.1.0", "backend": "checkout-v2"},
        "canary": {"version": "1.2.0", "backend": "checkout-v3"},
    }


async def test_another_version_is_rejected_while_one_runs(rollout: Rollout, world: World) -> None:
    await rollout.submit()
    receipt = await rollout.submit(make_submission(make_spec(arms=next_version())))
    assert receipt.disposition == "rejected"
    assert receipt.reason == "1.1.0 is stepping: one rollout at a time (when_busy: reject)"
    await rollout.reach(Phase.BAKING)
    assert (await rollout.submit(make_submission(make_spec(arms=next_version())))).disposition == "rejected"


async def test_in_the_window_another_version_closes_it_and_starts(rollout: Rollout, world: World) -> None:
    await rollout.submit(make_submission(make_spec(hooks={"retire": URL})))
    first = await rollout.reach(Phase.WINDOW)
    receipt = await rollout.submit(make_submission(make_spec(arms=next_version())))
    assert (receipt.disposition, receipt.version) == ("started", "1.2.0")
    status = await rollout.until(lambda now: now.version == "1.2.0" and now.phase is Phase.STEPPING)
    assert status.run_id != first.run_id
    assert [hook.hook for hook in world.hooks] == ["retire"]
    report = await rollout.result()
    assert (report.outcome, report.version) == (Outcome.PROMOTED, "1.2.0")
    assert world.route == {"checkout-v2": 0.0, "checkout-v3": 100.0}
    closed = [entry.rollout_id for entry in world.ledger.values() if entry.kind == "closed"]
    assert closed == ["test/checkout/1.1.0/1", "test/checkout/1.2.0/1"]


async def test_a_submission_to_a_closing_rollout_is_told_to_come_again(rollout: Rollout, world: World) -> None:
    await rollout.submit()
    await rollout.until(lambda now: now.looks == 1)
    world.ledger_down = True
    await rollout.send("rollback")
    await rollout.reach(Phase.CLOSED)
    for submission in (make_submission(), make_submission(make_spec(arms=next_version()))):
        receipt = await rollout.submit(submission)
        assert receipt.disposition == "rejected"
        assert receipt.reason == "the rollout before has just rolled_back and is closing: try again in a moment"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("hello", "not a submission"),
        ({"by": "ana"}, "spec: Field required"),
        ({"spec": {"service": "checkout"}, "by": "ana"}, "spec.environment: Field required"),
        (None, "not a submission"),
    ],
)
async def test_a_garbage_submission_is_refused(rollout: Rollout, given: object, reason: str) -> None:
    await rollout.submit()
    with pytest.raises(WorkflowUpdateFailedError) as failure:
        await rollout.handle.execute_update("submit", given, result_type=Receipt)
    assert reason in str(failure.value.cause)
    assert (await rollout.result()).outcome is Outcome.PROMOTED


async def test_a_submission_of_another_service_or_by_nobody_is_refused(rollout: Rollout) -> None:
    await rollout.submit()
    for submission, reason in (
        (make_submission(make_spec(service="cart")), "belongs to checkout in test, not to cart"),
        (make_submission(by=" "), "'by' is empty"),
    ):
        with pytest.raises(WorkflowUpdateFailedError) as failure:
            await rollout.handle.execute_update("submit", submission, result_type=Receipt)
        assert reason in str(failure.value.cause)
