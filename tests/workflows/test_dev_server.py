"""What only a real server shows: search attributes, the page, summaries, refusals without events, the CLI, the cost."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from temporalio.api.history.v1 import HistoryEvent

from coalmine.records import TASK_QUEUE, Finding, FleetState, Outcome, Phase, fleet_id
from coalmine.ui_views import View, views
from tests.conftest import TemporalServer, binary
from tests.workflows.driving import Rollout
from tests.workflows.serving import now
from tests.workflows.specs import make_submission, quick
from tests.workflows.world import World

GATED = [
    {"weight": 10, "for": "1s"},
    {"weight": 50, "for": "1s", "gate": {"name": "go", "approval": {"by": ["sre"]}}},
]


async def start_gated(live: Rollout) -> None:
    await live.start(make_submission(quick(steps=GATED, people={"sre": ["ana"]})))
    await live.reach(Phase.GATED)


async def temporal(server: TemporalServer, *arguments: str) -> str:
    """The real ``temporal`` command."""
    process = await asyncio.create_subprocess_exec(
        binary("temporal"),
        *arguments,
        *("--address", server.address, "--namespace", server.namespace),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def test_a_signal_of_the_temporal_command_moves_a_gate(live: Rollout, temporal_env: TemporalServer) -> None:
    await start_gated(live)
    given = '{"by":"ana","reason":"ok"}'
    await temporal(temporal_env, "workflow", "signal", "--name", "approve", "--input", given, "-w", live.id)
    await live.soon(lambda now: now.canary_weight == 50)
    assert (await live.result()).outcome is Outcome.PROMOTED


async def test_an_update_of_the_temporal_command_is_answered(live: Rollout, temporal_env: TemporalServer) -> None:
    await start_gated(live)
    arguments = ["workflow", "update", "execute", "--name", "approve", "-w", live.id, "-o", "json"]
    said = await temporal(temporal_env, *arguments, "--input", '{"by":"ana"}')
    assert json.loads(said)["result"]["message"] == "gate 'go' is open"


async def test_search_attributes_follow_the_rollout(live: Rollout) -> None:
    await start_gated(live)

    async def attributes() -> dict[str, Any]:
        described = await live.handle.describe()
        pairs = described.typed_search_attributes
        return {pair.key.name: pair.value for pair in pairs if pair.key.name.startswith("Coalmine")}

    assert await attributes() == {
        "CoalmineService": "checkout",
        "CoalmineEnvironment": "test",
        "CoalmineVersion": "1.1.0",
        "CoalminePhase": "gated",
        "CoalmineWeight": 10,
    }
    await live.say("approve")
    await live.result()
    ended = await attributes()
    assert (ended["CoalminePhase"], ended["CoalmineOutcome"], ended["CoalmineWeight"]) == ("closed", "promoted", 100)


async def test_the_page_and_the_descriptions_are_in_the_metadata(live: Rollout) -> None:
    await start_gated(live)
    metadata: Any = await live.handle.query("__temporal_workflow_metadata")
    page = metadata.current_details
    assert page.startswith("### Approve or reject: gate 'go' waits, at 10 %")
    assert "**wanted:** 1 of sre" in page
    assert "| look\u00a0\u00a0 | at\u00a0\u00a0 | canary\u00a0\u00a0 | requests\u00a0\u00a0 | decision |" in page
    assert "**More Actions → Send a Signal:**\n`approve` with input" in page
    signals = {signal.name: signal.description for signal in metadata.definition.signal_definitions}
    assert '{"by": "ana", "reason": "looks fine"}' in signals["approve"]
    await live.send("rollback")


async def test_what_waits_and_what_works_says_so(live: Rollout) -> None:
    await start_gated(live)
    await live.say("approve")
    await live.result()
    history = await live.handle.fetch_history()
    said = [summary(event) for event in history.events if event.user_metadata.summary.data]
    for expected in (
        "ask the fleet: number and bans",
        "snapshot the route",
        "shift 10 % to 1.1.0",
        "look 1 at 10 %: collect 1 s",
        "look 1 at 10 %: evaluate",
        "look 2 at 10 %: wait (gate 'go' waits for approval)",
        "shift 100 % to 1.1.0",
        "rollback window: one word restores the old version",
    ):
        assert expected in said, said
    silent = [
        event.event_type
        for event in history.events
        if (
            event.HasField("timer_started_event_attributes")
            or event.HasField("activity_task_scheduled_event_attributes")
        )
        and not event.user_metadata.summary.data
    ]
    assert silent == []


def summary(event: HistoryEvent) -> str:
    """What an event says of itself."""
    return str(json.loads(event.user_metadata.summary.data))


async def test_a_refused_update_leaves_no_event(live: Rollout) -> None:
    await start_gated(live)
    assert "eve may not approve gate 'go'" in await live.refused("approve", by="eve")
    assert not [event for event in await live.events() if "UPDATE" in event]
    await live.send("rollback")


async def test_a_look_costs_at_most_20_events_and_16_kb(live: Rollout, world: World) -> None:
    metrics = [
        {"name": "errors", "kind": "ratio", "source": "prometheus", "template": "envoy", "max": 0.05},
        {"name": "latency", "kind": "latency", "source": "prometheus", "template": "envoy"},
    ]
    world.buckets = 20
    await live.start(make_submission(quick(metrics=metrics, steps=[{"weight": 10, "for": "5m"}])))
    await live.until(lambda now: now.looks == 1)
    before = (await live.handle.fetch_history()).events
    await live.until(lambda now: now.looks >= 9)
    after = (await live.handle.fetch_history()).events
    looks = 8
    new = after[len(before) :]
    assert len(new) / looks <= 20
    assert sum(event.ByteSize() for event in new) / looks <= 16_384
    await live.send("rollback")
    await live.result()


async def test_a_cancelled_rollout_is_canceled_and_keeps_its_page(live: Rollout) -> None:
    await start_gated(live)
    await live.handle.cancel(reason="wrong release")
    await live.cancelled()
    metadata: Any = await live.handle.query("__temporal_workflow_metadata")
    assert metadata.current_details.startswith("### Cancelled and rolled back: nothing left to do here")
    assert "the workflow was cancelled: wrong release" in metadata.current_details


async def test_every_view_of_the_ui_shows_its_rollouts(live: Rollout) -> None:
    """Each query, by the real server's visibility store: accepted, and with the rows its name promises."""
    environment = "views"

    async def listed(view: View) -> list[str]:
        return sorted([found.id.split("/")[-1] async for found in live.client.list_workflows(view.query)])

    async def shown(**rows: list[str]) -> None:
        """What the store shows, which follows a moment later; a view that is not named is empty."""
        expected: dict[str, list[str]] = {view.name: [] for view in views(environment, await now())}
        expected |= {name.replace("_", " "): services for name, services in rows.items()}
        expected["Fleets and guards"] = [environment]
        async with asyncio.timeout(60):
            while (found := {view.name: await listed(view) for view in views(environment, await now())}) != expected:
                await asyncio.sleep(0.1)
        assert found == expected

    spec = {
        "environment": environment,
        "people": {"sre": ["ana"]},
        "promotion": {"bake": "1s", "rollback_window": "1h"},
    }
    fleet: Any = await live.client.start_workflow(
        "Fleet", FleetState(environment=environment), id=fleet_id(environment), task_queue=TASK_QUEUE
    )
    await live.start(make_submission(quick(service="one", steps=GATED, **spec)))
    await live.reach(Phase.GATED)
    await shown(Waiting_for_a_human=["one"], In_flight=["one"])
    assert "canary/views/one" in [row.id async for row in live.client.list_workflows(views()[0].query)]
    await live.say("promote", reason="seen")
    await live.reach(Phase.WINDOW)
    await shown(Rollback_window=["one"])
    await live.send("rollback")
    await live.end()
    await shown(Rolled_back=["one"], Rolled_back_this_week=["one"])
    live.world.judge = lambda number, stage: (Finding.SIGNAL, "slow")
    await live.start(make_submission(quick(service="two", **spec)))
    await live.reach(Phase.HELD)
    back = {"Rolled_back": ["one"], "Rolled_back_this_week": ["one"]}
    await shown(Waiting_for_a_human=["two"], Held=["two"], In_flight=["two"], **back)
    await live.handle.terminate(reason="on purpose")
    await shown(Died=["two"], **back)
    await fleet.terminate()
