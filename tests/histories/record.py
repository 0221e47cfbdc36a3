"""Records the histories that every later version must still replay.

A new release adds its own folder: ``.venv/bin/python -m tests.histories.record`` writes those of this version. A change
between two releases that workflows take by ``workflow.patched`` adds one too, with the scripts that meet it:
``.venv/bin/python -m tests.histories.record 0.1.0-diagnosis rolled_back_by_harm held_and_resumed``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

import coalmine
from coalmine.records import Finding, Phase, RolloutReport, SlotPlace, Submission
from tests.workflows.driving import Rollout
from tests.workflows.serving import add_search_attributes, workers
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import GOOD, HARM, World, leave

FOLDER = Path(__file__).parent
SHORT: dict[str, Any] = {
    "steps": [{"weight": 10, "for": "20s"}, {"weight": 50, "for": "20s"}],
    "promotion": {"bake": "20s", "rollback_window": "20s"},
}
GATE = {"name": "go", "approval": {"by": ["sre"], "timeout": "1m"}}


async def promoted(rollout: Rollout) -> None:
    """All goes well."""
    await rollout.submit(make_submission(make_spec(**SHORT)))


async def rolled_back_by_harm(rollout: Rollout) -> None:
    """The judge finds harm at the second step."""
    rollout.world.judge = lambda number, stage: HARM if number > 3 else GOOD
    await rollout.submit(make_submission(make_spec(**SHORT)))


async def held_and_resumed(rollout: Rollout) -> None:
    """A signal holds; a person pauses, resumes, extends, and sends something wrong."""
    rollout.world.judge = lambda number, stage: (Finding.SIGNAL, "latency is worse") if number == 2 else GOOD
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.reach(Phase.HELD)
    await rollout.send("resume", reason="known")
    await rollout.say("pause")
    await rollout.sleep(15)
    await rollout.send("aprove")
    await rollout.send("resume")
    await rollout.say("extend", **{"for": "10s"})


async def cancelled(rollout: Rollout) -> None:
    """Somebody cancels the workflow."""
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.until(lambda now: now.looks == 2)
    await rollout.handle.cancel(reason="wrong release")


async def cancelled_in_the_window(rollout: Rollout) -> None:
    """Somebody cancels the workflow after it was promoted: the canary stays."""
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.reach(Phase.WINDOW)
    await rollout.handle.cancel(reason="enough")


async def cancelled_while_closing(rollout: Rollout) -> None:
    """Somebody cancels the workflow while it hands its record over."""
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.reach(Phase.WINDOW)
    rollout.world.ledger_down = True
    await rollout.reach(Phase.CLOSED)
    await rollout.handle.cancel(reason="too late")
    await rollout.sleep(2)
    rollout.world.ledger_down = False


async def rejected_at_the_gate(rollout: Rollout) -> None:
    """A person says no."""
    steps = [SHORT["steps"][0], {**SHORT["steps"][1], "gate": GATE}]
    await rollout.submit(make_submission(make_spec(**{**SHORT, "steps": steps}, people={"sre": ["ana"]})))
    await rollout.reach(Phase.GATED)
    await rollout.send("reject", reason="not on a Friday")


async def data_outage(rollout: Rollout) -> None:
    """The metric store and the ledger fall silent, and come back."""
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.until(lambda now: now.looks == 1)
    rollout.world.silent = rollout.world.ledger_down = True
    await rollout.sleep(35)
    rollout.world.silent = rollout.world.ledger_down = False


async def promoted_without_ledger(rollout: Rollout) -> None:
    """The ledger is down when a person says promote; 100 % waits, and looks go on."""
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.until(lambda now: now.looks == 1)
    rollout.world.ledger_down = True
    await rollout.say("promote", reason="the fix cannot wait")
    await rollout.sleep(45)
    rollout.world.ledger_down = False


async def taken_back_without_ledger(rollout: Rollout) -> None:
    """The same, and a rollback is said while the promotion waits."""
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.until(lambda now: now.looks == 1)
    rollout.world.ledger_down = True
    await rollout.say("promote", reason="the fix cannot wait")
    await rollout.sleep(15)
    await rollout.send("rollback", reason="it can")
    await rollout.sleep(5)
    rollout.world.ledger_down = False


async def paused_without_ledger(rollout: Rollout) -> None:
    """A promotion that waits for the ledger is paused; the ledger comes back, and a person resumes it."""
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.until(lambda now: now.looks == 1)
    rollout.world.ledger_down = True
    await rollout.say("promote", reason="the fix cannot wait")
    await rollout.soon(lambda now: now.phase is Phase.PROMOTING)
    await rollout.say("pause", reason="emergency brake")
    rollout.world.ledger_down = False
    await rollout.sleep(45)
    await rollout.send("resume")


async def advanced_between_looks(rollout: Rollout) -> None:
    """The lease of an advisory router wakes it after the step's time is over, before the next look."""
    rollout.world.lease = 14
    steps = [{"weight": 10, "for": "12s"}, SHORT["steps"][1]]
    await rollout.submit(make_submission(make_spec(**{**SHORT, "steps": steps})))
    await rollout.until(lambda now: now.canary_weight == 50)


async def overtaken(rollout: Rollout) -> None:
    """A stranger wrote the route; the first restore reads back wrong."""
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.until(lambda now: now.looks == 1)
    rollout.world.generation = 41
    await rollout.until(lambda now: now.canary_weight == 50)
    rollout.world.shown_wrong = 1
    await rollout.send("rollback", reason="looks odd")


async def drifted(rollout: Rollout) -> None:
    """Somebody changes the weights: they are put back."""
    policy = {"look": "10s", "drift": "restore"}
    await rollout.submit(make_submission(make_spec(**SHORT, policy=policy)))
    await rollout.until(lambda now: now.looks == 1)
    rollout.world.route = {"checkout-v1": 60.0, "checkout-v2": 40.0}


async def drift_held(rollout: Rollout) -> None:
    """Somebody changes the weights; a human is asked, and says go on."""
    policy = {"look": "10s", "drift": "hold"}
    steps = [{"weight": 10, "for": "1m"}]
    await rollout.submit(make_submission(make_spec(**{**SHORT, "steps": steps}, policy=policy)))
    await rollout.until(lambda now: now.looks == 1)
    rollout.world.route, rollout.world.generation = {"checkout-v1": 60.0, "checkout-v2": 40.0}, 9
    await rollout.reach(Phase.HELD)
    await rollout.send("resume", reason="go on")


async def carried_on(rollout: Rollout) -> None:
    """A rollout so long that it continues as new; its last run is recorded."""
    steps = [{"weight": 10, "for": "45m"}]
    await rollout.submit(make_submission(make_spec(steps=steps, promotion=SHORT["promotion"])))
    first = await rollout.until(lambda now: now.looks >= 2)
    await rollout.until(lambda now: now.run_id != first.run_id, 120)


def another(version: str, policy: str) -> Submission:
    """A start of another version while one runs."""
    arms = {
        "baseline": {"version": "1.0.0", "backend": "checkout-v1"},
        "canary": {"version": version, "backend": "checkout-v3"},
    }
    promotion = {**SHORT["promotion"], "when_busy": policy}
    return make_submission(make_spec(**{**SHORT, "promotion": promotion}, arms=arms))


async def superseded(rollout: Rollout) -> None:
    """One version waits in line and is withdrawn, another takes the running one's place; the last run is recorded."""
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.until(lambda now: now.looks == 1)
    await rollout.submit(another("1.2.0", "queue"))
    await rollout.submit(another("1.3.0", "supersede"))
    await rollout.until(lambda now: now.version == "1.3.0" and now.looks == 1)
    await rollout.say("withdraw", version="1.2.0")


async def begun_anew(rollout: Rollout) -> None:
    """A run before a reset left 10 % on the canary; the router refuses the first write that puts it back."""
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.until(lambda now: now.looks == 1)
    following = another("1.3.0", "supersede")
    leave(rollout.world, following.spec, 10)
    rollout.world.shift_errors = [ApplicationError("no", type="RouteRejected", non_retryable=True)] * 2
    await rollout.submit(following)
    await rollout.until(lambda now: now.version == "1.3.0" and now.looks == 1)


async def took_its_place(rollout: Rollout) -> None:
    """The same, but the first run is recorded: the one whose place was taken."""
    await rollout.submit(make_submission(make_spec(**SHORT)))
    first = await rollout.until(lambda now: now.looks == 1)
    await rollout.submit(another("1.2.0", "queue"))
    await rollout.submit(another("1.3.0", "supersede"))
    await rollout.until(lambda now: now.version == "1.3.0")
    rollout.handle = rollout.client.get_workflow_handle(rollout.id, run_id=first.run_id, result_type=RolloutReport)


async def waited_for_a_slot(rollout: Rollout) -> None:
    """The fleet says that all slots are taken, then gives one."""
    rollout.world.slot = SlotPlace(position=2, waiting=2, limit=1)
    await rollout.submit(make_submission(make_spec(**SHORT)))
    await rollout.sleep(400)
    rollout.world.slot = SlotPlace(limit=1)


async def reminded(rollout: Rollout) -> None:
    """A gate reminds, escalates, is paused past a reminder, and is approved."""
    approval = {"timeout": "30m", "remind": "2m", "escalate": {"after": "5m", "to": ["ana"]}}
    steps = [{**SHORT["steps"][0], "gate": {"name": "go", "approval": approval}}, SHORT["steps"][1]]
    await rollout.submit(make_submission(make_spec(**{**SHORT, "steps": steps}, people={"sre": ["ana"]})))
    await rollout.reach(Phase.GATED)
    await rollout.sleep(330)
    await rollout.say("pause")
    await rollout.sleep(200)
    await rollout.say("resume")
    await rollout.sleep(100)
    await rollout.say("approve")


async def signed_at_the_gate(rollout: Rollout) -> None:
    """A token that nobody's key signed, then glass is broken unsigned at a gate that lets it."""
    steps = [SHORT["steps"][0], {**SHORT["steps"][1], "gate": GATE}]
    await rollout.submit(make_submission(make_spec(**{**SHORT, "steps": steps}, people={"sre": ["ana"]})))
    await rollout.reach(Phase.GATED)
    await rollout.send("approve", token="a.b.c")
    await rollout.sleep(5)
    await rollout.send("approve", by="eve", break_glass=True, reason="nobody of sre answers the phone")


async def approved_by_one_twice(rollout: Rollout) -> None:
    """One person approves under two spellings, which opened a gate that asks for two; then another does."""
    gate = {"name": "go", "approval": {"count": 2, "timeout": "10m"}}
    steps = [SHORT["steps"][0], {**SHORT["steps"][1], "gate": gate}]
    await rollout.submit(make_submission(make_spec(**{**SHORT, "steps": steps})))
    await rollout.reach(Phase.GATED)
    for who in ("ana", "Ana"):
        await rollout.say("approve", by=who)
    await rollout.sleep(30)
    await rollout.send("approve", by="bo")


async def rolled_back_in_steps(rollout: Rollout) -> None:
    """Taken back from 100 % in steps, until the same word comes again."""
    await rollout.submit(make_submission(make_spec(**SHORT, rollback={"over": "1m", "steps": 4})))
    await rollout.reach(Phase.BAKING)
    await rollout.say("rollback", reason="too slow")
    await rollout.until(lambda now: now.canary_weight == 50)
    await rollout.say("rollback", reason="worse")


async def started_without_proof(rollout: Rollout) -> None:
    """A token that proves nobody blocks the start."""
    rollout.world.environ["COALMINE_DECISION_KEYS"] = "/nowhere"
    await rollout.submit(make_submission(make_spec(**SHORT), token="a.b.c"))


SCRIPTS: list[Callable[[Rollout], Awaitable[None]]] = [
    *(
        promoted,
        rolled_back_by_harm,
        held_and_resumed,
        cancelled,
        cancelled_in_the_window,
        cancelled_while_closing,
        rejected_at_the_gate,
        data_outage,
        promoted_without_ledger,
        taken_back_without_ledger,
        paused_without_ledger,
        advanced_between_looks,
        overtaken,
        carried_on,
        drifted,
        drift_held,
        superseded,
        took_its_place,
        begun_anew,
        waited_for_a_slot,
        reminded,
        signed_at_the_gate,
        approved_by_one_twice,
        rolled_back_in_steps,
        started_without_proof,
    ),
]


async def time_skipping(converter: DataConverter) -> WorkflowEnvironment:
    """A server whose time skips."""
    server = Path(sys.executable).with_name("temporal-test-server")
    return await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(server), data_converter=converter
    )


async def record(script: Callable[[Rollout], Awaitable[None]], folder: Path) -> Path:
    """Play one script on a server whose time skips, and write its history."""
    environment = await time_skipping(pydantic_data_converter)
    await add_search_attributes(environment.client)
    world = World(client=environment.client)

    async def sleep(seconds: float) -> None:
        await environment.sleep(timedelta(seconds=seconds))

    async with environment, AsyncExitStack() as stack:
        for worker in workers(environment.client, world):
            await stack.enter_async_context(worker)
        rollout = Rollout(environment.client, world, sleep, environment.get_current_time, skips=True)
        await script(rollout)
        await rollout.end(10)
        history = await rollout.handle.fetch_history()
    return write(history, folder / f"{script.__name__}.json")


def write(history: WorkflowHistory, path: Path) -> Path:
    """Into a file, without what belongs to this machine."""
    path.write_text(json.dumps(plain(history.to_json_dict()), separators=(",", ":")) + "\n", encoding="utf-8")
    return path


def plain(value: Any) -> Any:
    """The history without what belongs to the machine it was recorded on, and without what no replay reads."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: plain(item) for key, item in value.items() if key not in ("stackTrace", "taskId", "binaryChecksum")}
    return {**kept, "identity": "recorder"} if "identity" in kept else kept


async def main(folder_name: str = coalmine.__version__, *wanted: str) -> None:
    """Write those that are wanted by name, else all."""
    logging.disable(logging.WARNING)
    folder = FOLDER / folder_name
    folder.mkdir(exist_ok=True)
    for script in SCRIPTS:
        if wanted and script.__name__ not in wanted:
            continue
        path = await record(script, folder)
        print(f"{path.relative_to(FOLDER)}: {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
