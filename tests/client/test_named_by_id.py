"""What is said to a rollout by its id reaches that rollout or nobody: the next one has the same workflow id."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from coalmine import searching
from coalmine.chat.acts import Act, carry_out
from coalmine.chat.people import Person
from coalmine.client import Coalmine
from coalmine.errors import RefusedError, RolloutNotFound, TemporalUnavailable
from coalmine.executions import Execution
from coalmine.records import CommandReceipt, Phase, RolloutStatus, Verb
from coalmine.search_attributes import VERSION
from coalmine.searching import RolloutRef, RolloutRow
from tests.workflows.conftest import live, world
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_submission, quick
from tests.workflows.world import World

__all__ = ["live", "world"]

GATED = [{"weight": 10, "for": "1s", "gate": {"name": "go", "approval": {"timeout": "1h"}}}]
ANA = Person("U0ANA", "ana@example.org")


def release(service: str, version: str) -> Any:
    arms = {
        "baseline": {"version": "1.0.0", "backend": "checkout-v1"},
        "canary": {"version": version, "backend": f"checkout-{version}"},
    }
    promotion = {"bake": "1s", "rollback_window": "1s", "when_busy": "supersede"}
    return make_submission(quick(service=service, arms=arms, steps=GATED, promotion=promotion))


async def first_then_next(live: Rollout, service: str) -> tuple[RolloutRef, str, list[RolloutRow]]:
    """The first at its gate, found by its id, and the list of then; the next one has taken its place, at its own."""
    await live.start(release(service, "1.1.0"))
    first = (await live.reach(Phase.GATED)).rollout_id
    coalmine = Coalmine(live.client)
    async with asyncio.timeout(60):
        while not (rows := await coalmine.rollouts(service=service)):
            await asyncio.sleep(0.05)
    ref = await found(coalmine, first)
    await live.submit(release(service, "1.2.0"))
    await live.until(lambda now: now.version == "1.2.0" and now.phase is Phase.GATED)
    return ref, first, rows


async def found(coalmine: Coalmine, rollout_id: str) -> RolloutRef:
    async with asyncio.timeout(60):
        while True:
            try:
                return await coalmine.find(rollout_id)
            except RolloutNotFound:
                await asyncio.sleep(0.05)


async def still_waits(live: Rollout, world: World) -> None:
    status = await live.status()
    assert (status.version, status.phase, world.writes) == ("1.2.0", Phase.GATED, [])
    assert status.gate is not None
    assert status.gate.approvals == []


@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.PROMOTE, Verb.ROLLBACK])
async def test_a_word_to_one_that_was_followed_meanwhile_reaches_nobody(
    live: Rollout, world: World, verb: Verb
) -> None:
    ref, first, _ = await first_then_next(live, f"named-{verb}")
    coalmine = Coalmine(live.client)
    with pytest.raises(RefusedError, match=f"{first} is not running any more"):
        await coalmine.send(ref, verb, by="ana", reason="it was fine when I looked")
    with pytest.raises(RefusedError, match=f"{first} is not running any more"):
        await carry_out(coalmine, ref, Act(verb, reason="it was fine when I looked"), ANA, None, unasked=ref)
    await still_waits(live, world)


async def test_a_list_that_is_late_leads_to_nobody_else(
    live: Rollout, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, first, rows = await first_then_next(live, "named-late")
    assert [row.open for row in rows] == [True]

    async def late(*_: Any, **__: Any) -> list[RolloutRow]:
        return rows

    monkeypatch.setattr(searching, "list_rollouts", late)
    coalmine = Coalmine(live.client)
    with pytest.raises(RefusedError, match=f"{first} is closed"):
        await coalmine.send(await coalmine.find(first), Verb.APPROVE, by="ana", reason="ok")
    await still_waits(live, world)


class Renewed(Coalmine):
    """One whose run continues as new between question and word."""

    def __init__(self, answers: list[str], shown: Sequence[str] = ()) -> None:
        """``answers`` of the worker, ``<rollout>#<run>``; what the server shows without one, ``<version>#<run>``."""
        super().__init__(cast(Client, None))
        self.answers, self.shown = answers, [*shown]
        self.told: list[RolloutRef] = []

    async def status(self, ref: RolloutRef) -> RolloutStatus:
        if not self.answers:
            raise TemporalUnavailable("no worker")
        rollout_id, run_id = self.answers.pop(0).split("#")
        return RolloutStatus(service="b", environment="a", phase=Phase.STEPPING, rollout_id=rollout_id, run_id=run_id)

    async def _describe(self, ref: RolloutRef) -> Execution:
        version, run_id = self.shown.pop(0).split("#")
        known = TypedSearchAttributes([SearchAttributePair(VERSION, version)] if version else [])
        return Execution(ref.workflow_id, run_id, WorkflowExecutionStatus.RUNNING, 7, known)

    async def _send(self, ref: RolloutRef, *_: Any) -> CommandReceipt:
        self.told.append(ref)
        if ref.run_id == "gone":
            raise RefusedError("it is closed")
        if ref.run_id == "lost":
            raise RolloutNotFound("there is no workflow")
        return CommandReceipt(message="done", phase=Phase.STEPPING)


async def test_one_that_continued_as_new_is_told_again() -> None:
    coalmine = Renewed(["a/b/1/1#gone", "a/b/1/1#new", "a/b/1/1#new"])
    await coalmine.send(RolloutRef("canary/a/b", rollout_id="a/b/1/1"), Verb.PAUSE, by="ana")
    assert [ref.run_id for ref in coalmine.told] == ["gone", "new"]


async def test_what_is_refused_is_refused_once() -> None:
    coalmine = Renewed(["a/b/1/1#gone", "a/b/1/1#gone"])
    with pytest.raises(RefusedError, match="it is closed"):
        await coalmine.send(RolloutRef("canary/a/b", rollout_id="a/b/1/1"), Verb.PAUSE, by="ana")
    assert len(coalmine.told) == 1


async def test_without_a_worker_a_rollback_is_left_all_the_same() -> None:
    ref = RolloutRef("canary/a/b", rollout_id="a/b/1/1")
    with pytest.raises(TemporalUnavailable):
        await Renewed([]).send(ref, Verb.APPROVE, by="ana")
    # It continued as new after it was looked at; of the last one the server does not know the version.
    coalmine = Renewed([], ["1#lost", "1#gone", "1#gone", "#now", "#now"])
    await coalmine.send(ref, Verb.ROLLBACK, by="ana")
    assert coalmine.told == [RolloutRef("canary/a/b", run) for run in ("lost", "gone", "now")]


async def test_without_a_worker_a_rollback_is_not_left_for_another_version() -> None:
    coalmine = Renewed([], ["2#other"])
    with pytest.raises(RefusedError, match="a/b/1/1 is not running any more: version 2 is"):
        await coalmine.send(RolloutRef("canary/a/b", rollout_id="a/b/1/1"), Verb.ROLLBACK, by="ana")
    assert not coalmine.told
