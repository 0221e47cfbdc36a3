"""One ground and its metrics, for tests that stop workers on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from benchmarks.ground import Ground
from benchmarks.simulated_metrics import SimulatedMetrics
from tests.faults.forked_worker import ForkedWorker
from tests.faults.releases import SEED


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    """A dev server, two Envoys of one route."""
    async with Ground(tmp_path, proxies=2) as ground:
        ground.worker_kind = ForkedWorker
        yield ground


@pytest.fixture
async def metrics(ground: Ground) -> AsyncIterator[SimulatedMetrics]:
    """Counters that follow the first proxy."""
    async with SimulatedMetrics(ground, SEED) as metrics:
        yield metrics
