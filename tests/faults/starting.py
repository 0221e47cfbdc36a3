"""A rollout started as ``coalmine start`` does: by an update, which a reset hears again as it does signals."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from benchmarks.kills import make_spec
from coalmine.errors import TemporalUnavailable
from coalmine.records import Receipt, RolloutReport, Submission, canary_id
from coalmine.spec.channels import Notifier
from coalmine.starting import start
from tests.faults.scene import Scene

WITHIN = timedelta(minutes=2)
"""Longer than any fault keeps the workers or the server away: whoever gives up ends what nobody has taken."""


WINDOW = timedelta(seconds=4)
"""The rollback window of a rollout that a fault is to meet in it; the others have none."""


def submission_for(scene: Scene, route: str, version: str, *, meets_window: bool) -> Submission:
    """A version of a route on the scene, which tells the scene's webhook."""
    spec = make_spec(scene.ground, "approved", route, version, scene.metrics.url)
    told = Notifier.model_validate({"kind": "webhook", "url": f"{scene.hook_url}/{route}"})
    changes: dict[str, Any] = {"notify": [told]}
    if meets_window:
        changes["promotion"] = spec.promotion.model_copy(update={"rollback_window": WINDOW})
    return Submission(spec=spec.model_copy(update=changes), by="faults")


async def begin_by_command(
    client: Client, given: Submission
) -> tuple[WorkflowHandle[Any, RolloutReport], asyncio.Task[Receipt]]:
    """The run as soon as there is one, and the start that still waits for its answer: faults come upon both."""
    spec = given.spec
    workflow_id = canary_id(spec.environment, spec.service, spec.region)
    before = await _latest(client, workflow_id)
    asked = asyncio.create_task(start(client, given, WITHIN))
    while (run_id := await _latest(client, workflow_id)) in (before, ""):
        if asked.done():
            with suppress(TemporalUnavailable):  # Another rollout's fault has the server away: a person tries again.
                asked.result()
            asked = asyncio.create_task(start(client, given, WITHIN))
        await asyncio.sleep(0.02)
    return client.get_workflow_handle(workflow_id, run_id=run_id, result_type=RolloutReport), asked


async def end_of(asked: asyncio.Task[Receipt]) -> None:
    """Whatever became of it; that nobody answered is no fault of the rollout, anything else is raised."""
    asked.cancel()
    with suppress(asyncio.CancelledError, TemporalUnavailable, RPCError):
        await asked


async def _latest(client: Client, workflow_id: str) -> str:
    """The latest run under an id; empty where there is none, or the server is away."""
    with suppress(RPCError):
        return (await client.get_workflow_handle(workflow_id).describe()).run_id or ""
    return ""
