"""Which rollouts are open, as gauges: every worker asks Temporal's list now and then, and all say the same.

A gauge that each workflow set for itself would stay behind in every worker that once ran it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import structlog
from temporalio.client import Client
from temporalio.common import MetricMeter

from coalmine.searching import RolloutRow, list_rollouts

EVERY = timedelta(seconds=15)
AT_MOST = 10_000
"""Open rollouts that are counted."""
Place = tuple[str, str, str]
"""Environment, service, region."""

log = structlog.stdlib.get_logger("coalmine.census")


class Census:
    """Two gauges over the open rollouts of a namespace.

    ``coalmine_rollouts_open`` by environment, service, region and phase; ``coalmine_canary_weight`` in percent, NaN
    where no rollout is open any more.
    """

    def __init__(self, client: Client, meter: MetricMeter) -> None:
        self._client = client
        self._open = meter.create_gauge("coalmine_rollouts_open", "Open rollouts, by phase")
        self._weight = meter.create_gauge_float("coalmine_canary_weight", "Percent of traffic the open canary has")
        self._phases: set[tuple[Place, str]] = set()
        self._places: set[Place] = set()
        self._lost = False

    async def keep(self, every: timedelta = EVERY) -> None:
        """Count for ever; while Temporal does not answer, the gauges stay as they are."""
        while True:
            try:
                self.show(await list_rollouts(self._client, running=True, limit=AT_MOST))
                self._lost = False
            except Exception as error:  # Whatever it is: rollouts do not need these gauges.
                if not self._lost:
                    log.warning("open rollouts not counted", why=str(error), error=type(error).__name__)
                self._lost = True
            await asyncio.sleep(every.total_seconds())

    def show(self, rows: list[RolloutRow]) -> None:
        """Set the gauges to these rows; what was there before and is no more goes to 0, its weight to NaN."""
        phases = Counter((_place(row), row.phase) for row in rows)
        weights = {_place(row): row.canary_weight for row in rows}
        self._phases |= phases.keys()
        self._places |= weights.keys()
        for place, phase in self._phases:
            self._open.set(phases[place, phase], {**_labels(place), "phase": phase})
        for place in self._places:
            self._weight.set(weights.get(place, float("nan")), _labels(place))


def _place(row: RolloutRow) -> Place:
    return row.environment, row.service, row.region or ""


def _labels(place: Place) -> dict[str, str]:
    return dict(zip(("environment", "service", "region"), place, strict=True))
