"""Open rollouts whose workflow tasks keep failing, as the server reports it."""

from __future__ import annotations

from collections.abc import Iterable

from activities.rollout_runs import RolloutRuns
from coalmine.errors import HistoryUnreadable, PayloadUnreadable
from coalmine.ownership import Run
from coalmine.records import StuckRollout
from coalmine.stuck import KEPT_STUCK, stuck_rollout


async def stuck_among(runs: RolloutRuns, found: Iterable[Run], namespace: str) -> list[StuckRollout]:
    """Those of the runs that are stuck, with what people can do about each.

    Raises:
        TemporalUnavailable: the server does not answer.
    """
    troubled = [run for run in found if run.open and run.problems][:KEPT_STUCK]
    return [await _stuck(runs, run, namespace) for run in troubled]


async def _stuck(runs: RolloutRuns, run: Run, namespace: str) -> StuckRollout:
    try:
        facts = await runs.facts(run)
    except (HistoryUnreadable, PayloadUnreadable):
        facts = None
    return stuck_rollout(run, facts, await runs.last_tasks(run), namespace)
