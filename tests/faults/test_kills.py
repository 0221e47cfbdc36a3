"""kill -9 and SIGSTOP of real workers, in the middle of what must not be torn: shifts, looks, rollbacks."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from activities.routers.locked_files import locked
from benchmarks.ground import CANARY, Ground, WorkerProcess
from benchmarks.kills import KINDS, Experiment
from benchmarks.simulated_metrics import SimulatedMetrics
from coalmine.records import Phase
from coalmine.testing.fake_prometheus import FakeAnswer
from tests.faults.forked_worker import ForkedWorker
from tests.faults.releases import (
    ROUTE,
    SEED,
    Handle,
    has_open,
    is_in,
    locked_by_writers,
    opens,
    release,
    result,
    shifted,
    under_way,
)
from tests.faults.witness import PATIENCE, ledger, stopped, until, watching

pytestmark = pytest.mark.timeout(600)


async def test_a_worker_killed_in_a_shift_is_finished_by_the_next(ground: Ground, metrics: SimulatedMetrics) -> None:
    worker = await ground.worker(1)
    async with watching(ground, ROUTE) as witness:
        handle = await release(ground, metrics, kind="approved")
        await until(lambda: is_in(handle, Phase.GATED))
        with witness.frozen_proxy(1):
            await handle.signal("approve", {"by": "bo", "reason": "fault test"})
            await witness.shows(50)
            await until(lambda: under_way(handle, attempt=1))
            await worker.kill()
        await ground.worker(2)
        await witness.shows(50, number=1)
        await handle.signal("promote", {"by": "ana", "reason": "the judge takes its time"})
        report = await result(handle)
    assert report.outcome == "promoted", report.reason
    assert await witness.faults(report, allowed={0, 10, 50, 100}) == []
    assert {0, 10, 50} <= witness.shares


async def test_a_look_that_dies_is_taken_again_over_the_same_window(ground: Ground, metrics: SimulatedMetrics) -> None:
    asked, answers = threading.Event(), threading.Event()

    def hang(query: str, headers: Mapping[str, str]) -> FakeAnswer | None:
        asked.set()
        answers.wait(PATIENCE)
        return None

    async def has_asked() -> bool:
        return asked.is_set()

    metrics.routes[ROUTE].canary_errors = 1.0
    metrics.server.answer = hang
    worker = await ground.worker(1)
    try:
        async with watching(ground, ROUTE) as witness:
            handle = await release(ground, metrics)
            await until(has_asked)
            await witness.shows(10)
            await worker.kill()
            answers.set()
            await ground.worker(2)
            report = await result(handle)
    finally:
        answers.set()
    assert report.outcome == "rolled_back", report.reason
    assert report.cause == "analysis", report.reason
    assert await witness.faults(report, allowed={0, 10}) == []
    looks = [entry["data"] for entry in ledger(ground.folder, report.rollout_id) if entry["kind"] == "look"]
    assert looks
    assert [look["look"] for look in looks] == list(range(1, len(looks) + 1))


async def test_a_worker_killed_in_a_rollback_is_finished_by_the_next(ground: Ground, metrics: SimulatedMetrics) -> None:
    worker = await ground.worker(1)
    async with watching(ground, ROUTE) as witness:
        handle = await release(ground, metrics, kind="approved")
        await until(lambda: is_in(handle, Phase.GATED))
        with witness.frozen_proxy(1):
            await handle.signal("rollback", {"by": "ana", "reason": "fault test"})
            await witness.shows(0)
            await until(lambda: under_way(handle, attempt=1))
            await worker.kill()
            await ground.worker(2)
            await until(lambda: under_way(handle, attempt=2))
            assert await ground.canary_share(ground.envoys[ROUTE][0]) == 0
        report = await result(handle)
    assert report.outcome == "rolled_back", report.reason
    assert report.cause == "human"
    assert await witness.faults(report, allowed={0, 10}) == []


async def frozen_in_a_write(ground: Ground, metrics: SimulatedMetrics, thaw: ExitStack) -> tuple[Handle, WorkerProcess]:
    """A rollout with two workers, of which one was frozen in the middle of its first write; ``thaw`` lets it go on."""
    zombie, other = await ground.worker(1), await ground.worker(2)
    file, lock = locked_by_writers(ground)
    with locked([file]):
        # One of the two is now held back a moment before its first write.
        handle = await release(ground, metrics, kind="approved")
        await until(lambda: opens(lock, zombie, other))
        if has_open(other, lock):
            zombie = other
        thaw.enter_context(stopped(zombie.pid))
    assert has_open(zombie, lock), "it was frozen in the middle of its write"
    return handle, zombie


async def test_a_frozen_worker_that_wakes_up_does_not_undo_the_rollback_of_another(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    with ExitStack() as thaw:
        async with watching(ground, ROUTE) as witness:
            handle, zombie = await frozen_in_a_write(ground, metrics, thaw)
            await handle.signal("rollback", {"by": "ana", "reason": "fault test"})
            # Generation 1 is the shift's, whether or not the other worker took it over before it heard of the order.
            await until(lambda: witness.rests_at(generation=2))
            thaw.close()
            report = await result(handle)
            # A worker that has drained has nothing left that could write.
            await zombie.stop()
    assert "StaleGeneration" in zombie.log.read_text()
    assert report.outcome == "rolled_back", report.reason
    assert await witness.faults(report, allowed={0, 10}) == []


async def test_on_an_advisory_router_the_write_of_a_frozen_worker_is_reconciled_and_reported(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    ground.worker_module = "tests.faults.advisory_worker"
    with ExitStack() as thaw:
        async with watching(ground, ROUTE) as witness:
            handle, zombie = await frozen_in_a_write(ground, metrics, thaw)
            await handle.signal("rollback", {"by": "ana", "reason": "fault test"})
            # Not as soon as the proxies show it: what is written during the restore, the restore itself writes over.
            await until(lambda: shifted(handle, generation=2))
            assert await witness.rests_at(generation=2)
            thaw.close()
            # Nothing stops the old write. The rollback is not over yet: it waits a lease, and finds it.
            await witness.shows(10)
            report = await result(handle)
            assert [await ground.canary_share(envoy) for envoy in ground.envoys[ROUTE]] == [0, 0]
            await zombie.stop()
    assert report.outcome == "rolled_back", report.reason
    [entry] = [entry for entry in ledger(ground.folder, report.rollout_id) if entry["kind"] == "reconciled"]
    assert entry["data"]["found"][CANARY] == 10


async def test_random_kills_leave_every_rollout_right(tmp_path: Path) -> None:
    routes = tuple(f"shop-{kind}" for kind in KINDS)
    async with Ground(tmp_path, routes=routes) as ground, SimulatedMetrics(ground, SEED) as metrics:
        ground.worker_kind = ForkedWorker
        experiment = Experiment(ground, metrics, SEED)
        await experiment.run(kills=2)
    assert experiment.kills == 2
    assert len(experiment.rollouts) == len(KINDS)
    assert {rollout.route: rollout.wrong for rollout in experiment.rollouts if rollout.wrong} == {}
