"""What nobody should send is listed with its reason, changes nothing, and never wedges a workflow."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from coalmine.records import Outcome, Phase, Verb
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_submission
from tests.workflows.world import World


def raw(data: bytes, encoding: bytes = b"json/plain") -> RawValue:
    return RawValue(Payload(metadata={"encoding": encoding}, data=data))


LONG = "x" * 100_000
SIGNALS: list[tuple[str, list[RawValue], str]] = [
    ("approve", [], "it came without input"),
    ("approve", [raw(b"not json")], "cannot be read as JSON"),
    ("approve", [raw(b"\xff\xfe")], "cannot be read as JSON"),
    ("approve", [raw(b"[1, 2]")], "must be a JSON object, not [1, 2]"),
    ("approve", [raw(b"7")], "must be a JSON object, not 7"),
    ("approve", [raw(b'"ana"')], "must be a JSON object, not 'ana'"),
    ("approve", [raw(b"null")], "must be a JSON object, not None"),
    ("approve", [raw(b"", b"binary/null")], "must be a JSON object, not None"),
    ("approve", [raw(b"\x00\x01", b"binary/plain")], "must be a JSON object, not b'\\x00\\x01'"),
    ("approve", [raw(b"?", b"binary/of-mine")], "cannot be read as JSON"),
    ("approve", [raw(b"[" * 5_000 + b"]" * 5_000)], "input"),
    ("pause", [raw(b"{}")], "'by' is missing"),
    ("pause", [raw(b'{"by": ""}')], "'by' is ''"),
    ("pause", [raw(b'{"by": "  "}')], "'by' is empty"),
    ("pause", [raw(b'{"by": 5}')], "'by' is 5"),
    ("pause", [raw(b'{"by": null}')], "'by' is None"),
    (
        "pause",
        [raw(b'{"by": "ana", "why": "x"}')],
        "'why' is not known here (known: by, reason, gate, attempt, for, token, break_glass)",
    ),
    ("pause", [raw(b'{"by": "ana", "gate": "go"}')], "'gate' and 'attempt' belong to approve and reject only"),
    ("pause", [raw(b'{"by": "ana", "for": "5m"}')], "'for' belongs to extend only"),
    ("pause", [raw(f'{{"by": "ana", "reason": "{LONG}"}}'.encode())], "'reason' has 100,000 characters"),
    ("pause", [raw(f'{{"by": "{LONG}"}}'.encode())], "'by' has 100,000 characters"),
    ("pause", [raw(f'{{"{LONG}": 1, "by": "ana"}}'.encode())], "is not known here"),
    ("approve", [raw(f'{{"by": "ana", "gate": "{LONG}"}}'.encode())], "'gate' has 100,000 characters"),
    ("approve", [raw(b'{"by": "ana", "attempt": "first"}')], "'attempt' is 'first'"),
    ("extend", [raw(b'{"by": "ana", "for": 30}')], "'for' is 30"),
    ("extend", [raw(b'{"by": "ana", "for": "soon"}')], "'soon' is not a duration"),
    ("extend", [raw(b'{"by": "ana", "for": "-5m"}')], "'-5m' is negative"),
    ("extend", [raw(b'{"by": "ana", "for": "0s"}')], "must be longer than zero"),
    ("extend", [raw(b'{"by": "ana", "for": "99999999999999999999d"}')], "longer than 365d"),
    ("extend", [raw(f'{{"by": "ana", "for": "{"9" * 1_000_002}d"}}'.encode())], "has 1,000,003 characters"),
    ("rollback", [raw(b'{"by": "ana"}'), raw(b'{"by": "bo"}')], "takes one input, got 2"),
    ("aprove", [raw(b'{"by": "ana"}')], "'aprove' is not a verb of a rollout; did you mean 'approve'?"),
    ("dance", [], "'dance' is not a verb of a rollout (known: approve"),
    ("dance", [raw(b"\xff", b"binary/plain")] * 3, "'dance' is not a verb"),
    (LONG[:900], [], "is not a verb of a rollout"),
]


async def test_each_garbage_signal_is_listed_with_its_reason(rollout: Rollout, world: World) -> None:
    await rollout.start()
    before = await rollout.until(lambda now: now.looks == 1)
    for verb, payloads, reason in SIGNALS:
        await rollout.send_raw(verb, *payloads)
        refused = (await rollout.decisions()).refused[-1]
        assert reason in refused.reason, (verb, payloads[:1], refused)
        assert refused.verb in (verb, verb[:80])
        assert len(refused.reason) < 1_500
        assert len(refused.input) <= 200
    after = await rollout.status()
    assert (after.phase, after.paused, after.step, after.step_ends_at) == (
        *(before.phase, before.paused, before.step, before.step_ends_at),
    )
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    assert sum(entry.kind == "refused" for entry in world.ledger.values()) == len(SIGNALS)
    assert await rollout.failed_tasks() == []


async def test_refusals_are_on_the_page(rollout: Rollout) -> None:
    await rollout.start()
    await rollout.until(lambda now: now.looks == 1)
    await rollout.send_raw("aprove", raw(b"{}"))
    await rollout.status()
    metadata = await rollout.handle.query("__temporal_workflow_metadata")
    assert "did you mean" in str(metadata)


@pytest.mark.parametrize("verb", list(Verb))
async def test_garbage_updates_are_refused_without_an_event(rollout: Rollout, verb: Verb) -> None:
    await rollout.start()
    await rollout.until(lambda now: now.looks == 1)
    for args in ([], [7], [{"by": ""}], [{"by": "ana"}, {"by": "bo"}], [raw(b"?")]):
        with pytest.raises(WorkflowUpdateFailedError):
            await rollout.handle.execute_update(verb, args=args)
    assert (await rollout.status()).phase is Phase.STEPPING
    assert not [event for event in await rollout.events() if "UPDATE" in event]


@pytest.mark.parametrize("payloads", [[], [7], [{"by": "x"}], [{"request_id": "a", "number": 1}] * 2, ["x", "y", "z"]])
async def test_a_garbage_answer_of_the_fleet_wedges_nothing(
    rollout: Rollout, world: World, payloads: list[Any]
) -> None:
    world.fleet_silent = True
    await rollout.start()
    await rollout.sleep(1)
    await rollout.handle.signal("fleet_answer", args=payloads)
    world.fleet_silent = False
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    assert await rollout.failed_tasks() == []


NAMELESS = {
    "service": "checkout",
    "environment": "test",
    "submission": make_submission(by=" ").model_dump(mode="json"),
}


@pytest.mark.parametrize(
    ("payloads", "reason"),
    [
        ([], "without input"),
        ([7], "CanaryInput"),
        ([{}], "service: Field required"),
        ([{"service": "checkout", "environment": "test", "submission": {"by": "ana"}}], "spec: Field required"),
        ([{"service": "checkout", "environment": "test", "carried": {"a": 1}}], "'carried'"),
        ([NAMELESS], "'by' of the submission is empty: say who submits"),
        ([{"service": "checkout", "environment": "test"}], "no release was submitted within a minute"),
        ([raw(b"?")], "cannot be read"),
    ],
)
async def test_a_garbage_start_fails_clearly_and_once(rollout: Rollout, payloads: list[Any], reason: str) -> None:
    await rollout.client.start_workflow("Canary", args=payloads, id=rollout.id, task_queue="coalmine")
    await rollout.end()
    with pytest.raises(WorkflowFailureError) as failure:
        await rollout.handle.result()
    cause = failure.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.non_retryable) == ("InvalidInput", True)
    assert reason in cause.message
    assert await rollout.failed_tasks() == []


async def test_verbs_before_a_release_was_submitted(rollout: Rollout) -> None:
    await rollout.client.start_workflow(
        "Canary", {"service": "checkout", "environment": "test"}, id=rollout.id, task_queue="coalmine"
    )
    await rollout.send("rollback")
    assert await rollout.refused("pause") == "no release was submitted to this workflow yet"
    with pytest.raises(Exception, match="no release was submitted"):
        await rollout.status()
    assert (await rollout.submit(make_submission())).disposition == "started"
    assert (await rollout.result()).outcome is Outcome.PROMOTED
