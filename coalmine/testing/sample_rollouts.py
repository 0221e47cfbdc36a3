"""Rollouts as tests of interfaces want them: a status in any phase, and looks and shifts to go with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from coalmine.recorded import Judgement, Recorded, Shift
from coalmine.records import GateStatus, MetricVerdict, Outcome, Phase, RolloutStatus, StepStatus, Verb

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CAN_SEND: dict[Phase, tuple[Verb, ...]] = {
    Phase.ADMITTING: (Verb.REJECT, Verb.ROLLBACK),
    Phase.GATED: (Verb.APPROVE, Verb.REJECT, Verb.PAUSE, Verb.EXTEND, Verb.PROMOTE, Verb.ROLLBACK),
    Phase.STEPPING: (Verb.REJECT, Verb.PAUSE, Verb.EXTEND, Verb.PROMOTE, Verb.ROLLBACK),
    Phase.HELD: (Verb.REJECT, Verb.RESUME, Verb.EXTEND, Verb.PROMOTE, Verb.ROLLBACK),
    Phase.PROMOTING: (Verb.ROLLBACK,),
    Phase.BAKING: (Verb.PAUSE, Verb.EXTEND, Verb.ROLLBACK),
    Phase.WINDOW: (Verb.EXTEND, Verb.ROLLBACK),
}
"""By phase (docs/commands.md)."""


def a_status(
    service: str,
    environment: str = "production",
    region: str | None = None,
    phase: Phase = Phase.STEPPING,
    *,
    number: int = 1,
    by: str = "ci",
    version: str = "1.42.0",
) -> RolloutStatus:
    """A rollout in a phase, with two metrics and, where it waits at one, a gate."""
    end = BEGAN + timedelta(days=3_650)
    waits = phase in (Phase.GATED, Phase.HELD, Phase.BAKING, Phase.WINDOW)
    weight = 100.0 if phase in (Phase.BAKING, Phase.WINDOW) else 10.0
    gate = GateStatus(name="go", step=2, state="waiting", by=["sre"], deadline=end) if phase is Phase.GATED else None
    place = "/".join(part for part in (environment, service, region) if part)
    return RolloutStatus(
        phase=phase,
        outcome=Outcome.PROMOTED if phase is Phase.WINDOW else None,
        service=service,
        environment=environment,
        region=region,
        version=version,
        baseline_version="1.41.0",
        rollout_id=f"{place}/{version}/{number}",
        workflow_id=f"canary/{place}",
        run_id=str(UUID(int=number + 1)),
        by=by,
        step=0,
        steps=[
            StepStatus.model_validate({"weight": 10, "for": "10m", "state": "now"}),
            StepStatus.model_validate({"weight": 50, "for": "20m", "gate": "go"}),
        ],
        weights={"checkout-v41": 100 - weight, "checkout-v42": weight},
        canary_weight=weight,
        generation=1,
        looks=12,
        planned_looks=60,
        verdicts=_verdicts(12),
        unmet=["the step lasts 4m more"],
        deadline_at=end if waits else None,
        gate=gate,
        held_reason="sample ratio: 12 % of requests instead of 10 %" if phase is Phase.HELD else "",
        canary_requests=14_400,
        step_requests=4_400,
        can_send=list(CAN_SEND.get(phase, ())),
        started_at=BEGAN + timedelta(seconds=number),
    )


def a_past(status: RolloutStatus) -> Recorded:
    """As many looks as the status has, half a minute apart, whose intervals narrow."""
    looks = [
        Judgement(look=look, at=BEGAN + timedelta(seconds=30 * look), verdicts=_verdicts(look))
        for look in range(1, status.looks + 1)
    ]
    shifts = [Shift(at=BEGAN, weights={"checkout-v41": 90.0, "checkout-v42": 10.0})]
    return Recorded(looks=looks, shifts=shifts, snapshot={"checkout-v41": 100.0})


def _verdicts(look: int) -> list[MetricVerdict]:
    wide = 1 + 3 / look
    errors = MetricVerdict(
        metric="errors", verdict="pass" if look > 8 else "inconclusive", effect=0.98,
        interval=(0.98 / wide, 0.98 * wide), margin=1.5, sentence="errors: 0.42 % against 0.43 %",
        baseline=0.0043, canary=0.0042,
        baseline_requests=129_600, canary_requests=14_400,
    )  # fmt: skip
    return [errors, errors.model_copy(update={"metric": "latency", "effect": 1.04, "interval": (1 / wide, 1.1 * wide)})]
