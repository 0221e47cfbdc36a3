"""A rollout that cannot be asked, as a list of rollouts has it."""

from __future__ import annotations

from coalmine.client import RolloutRow
from coalmine.records import Outcome, Phase, RolloutStatus

_OUTCOMES: dict[str | None, Outcome] = {
    **{str(outcome): outcome for outcome in Outcome},
    "cancelled": Outcome.ROLLED_BACK,
    "terminated": Outcome.FAILED,
}
"""What a list says of an outcome, as a status would say it."""


def as_listed(row: RolloutRow, why: str) -> RolloutStatus:
    """What its search attributes tell; ``why`` it cannot be asked stands in place of its own reasons."""
    phase = Phase.CLOSED
    if row.open:
        phase = Phase(row.phase) if row.phase in set(Phase) else Phase.ADMITTING
    return RolloutStatus(
        phase=phase, outcome=_OUTCOMES.get(row.outcome), reason=why, held_reason=why if row.open else "",
        service=row.service, environment=row.environment, region=row.region, version=row.version,
        canary_weight=row.canary_weight, workflow_id=row.workflow_id, run_id=row.run_id, closed_at=row.closed_at,
    )  # fmt: skip
