"""A gate that waits says so again, and to others, in time; what comes late comes once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from coalmine.records import NotifyRequest, Outcome, Phase
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import HARM, World

PAGER = {"kind": "webhook", "url": "http://127.0.0.1:9/", "name": "pager", "only": "escalations"}
REMINDING: dict[str, Any] = {"remind": "5m", "escalate": {"after": "12m", "to": ["pager", "leads"]}}


def spec(first: bool = True, **approval: Any) -> Any:
    """A gate before the first step (no looks while it waits) or before the second."""
    asked: dict[str, Any] = {"by": ["sre"], "timeout": "32m", **REMINDING, **approval}
    gate = {"name": "go", "approval": asked}
    steps: list[dict[str, Any]] = [{"weight": 10, "for": "20s"}, {"weight": 50, "for": "20s"}]
    steps[0 if first else 1]["gate"] = gate
    people = {"sre": ["ana", "bo"], "leads": ["cia"]}
    channels = [{"kind": "log"}, *([PAGER] if asked["escalate"] else [])]
    return make_spec(steps=steps, people=people, notify=channels)


def reminders(world: World) -> list[NotifyRequest]:
    """What was said of the gate again."""
    return [said for said in world.notices if "-reminder-" in said.notification.key or said.notification.to]


async def test_people_are_reminded_others_are_told_and_the_deadline_ends_it(rollout: Rollout, world: World) -> None:
    await rollout.start(make_submission(spec()))
    report = await rollout.result()
    assert report.reason == "gate 'go' was not approved within 32m"
    kinds = [entry for _, entry in sorted(world.ledger.items()) if entry.kind in ("gate", "reminded", "escalated")]
    asked = {"members": {"sre": ["ana", "bo"]}}
    assert kinds[0].data == {"gate": "go", **asked}
    assert kinds[1].data == {"gate": "go", "attempt": 1, "to": [], **asked}
    # The pager is a channel, and nobody is in it.
    assert kinds[3].data == {"gate": "go", "attempt": 1, "to": ["pager", "leads"], "members": {"leads": ["cia"]}}
    began = kinds[0].at
    minutes = [round((entry.at - began) / timedelta(minutes=1)) for entry in kinds]
    assert [(entry.kind, minute) for entry, minute in zip(kinds, minutes, strict=True)] == [
        ("gate", 0),
        ("reminded", 5),
        ("reminded", 10),
        ("escalated", 12),
        ("reminded", 15),
        ("reminded", 20),
        ("reminded", 25),
        ("reminded", 30),
    ]
    escalated = next(said for said in world.notices if said.notification.to)
    assert [channel.name for channel in escalated.channels] == [None, "pager"]
    assert escalated.notification.to == ["pager", "leads"]
    assert escalated.notification.text.startswith(
        "Gate 'go' before 10 % waits for 1 of sre. It has waited 12m, and will roll back at "
    )
    assert escalated.notification.text.endswith(" leads: cia.")
    others = [said for said in world.notices if not said.notification.to]
    assert {channel.name for said in others for channel in said.channels} == {None}
    assert len({said.notification.key for said in world.notices}) == len(world.notices)


async def test_an_approval_ends_it_and_the_release_goes_on(rollout: Rollout, world: World) -> None:
    await rollout.start(make_submission(spec(first=False)))
    await rollout.reach(Phase.GATED)
    await rollout.sleep(400)
    assert len(reminders(world)) == 1
    await rollout.say("approve")
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    assert len(reminders(world)) == 1
    assert await rollout.failed_tasks() == []


async def test_harm_at_a_reminding_gate_rolls_back_at_once(rollout: Rollout, world: World) -> None:
    await rollout.start(make_submission(spec(first=False)))
    await rollout.reach(Phase.GATED)
    await rollout.sleep(320)
    world.judge = lambda number, stage: HARM
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK
    assert world.canary == 0
    assert len(reminders(world)) == 1


async def test_what_was_missed_while_paused_comes_once(rollout: Rollout, world: World) -> None:
    await rollout.start(make_submission(spec(escalate=None, timeout="10h")))
    await rollout.reach(Phase.GATED)
    await rollout.say("pause")
    await rollout.sleep(3_600)
    assert reminders(world) == []
    await rollout.say("resume")
    await rollout.happens(lambda: len(reminders(world)) == 1)
    await rollout.sleep(60)
    assert len(reminders(world)) == 1
    await rollout.sleep(300)
    assert len(reminders(world)) == 2
    await rollout.say("rollback")
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK


async def test_a_gate_that_never_reminds_adds_nothing_to_the_history(rollout: Rollout, world: World) -> None:
    await rollout.start(make_submission(spec(remind=None, escalate=None)))
    await rollout.reach(Phase.GATED)
    await rollout.say("approve")
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    assert reminders(world) == []
