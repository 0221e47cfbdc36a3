"""What a rollout asks the fleet of its environment for."""

from __future__ import annotations

from typing import Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from coalmine.records import FleetRequest
    from coalmine.rollout import RolloutState


def fleet_request(
    state: RolloutState,
    verb: Literal["admit", "ban", "release"],
    request_id: str,
    *,
    by: str = "",
    reason: str = "",
    rollout_id: str = "",
    automated: bool = False,
    wants_slot: bool = False,
) -> FleetRequest:
    """A request with all that names this run and its version."""
    spec = state.spec
    return FleetRequest(
        context=state.context(),
        verb=verb,
        environment=spec.environment,
        service=spec.service,
        version=spec.arms.canary.version,
        region=spec.region,
        workflow_id=state.workflow_id,
        run_id=state.run_id,
        request_id=request_id,
        by=by,
        automated=automated,
        reason=reason,
        rollout_id=rollout_id,
        wants_slot=wants_slot,
    )
