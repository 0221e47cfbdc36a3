"""``temporal workflow reset``: one rollout stays one record, whatever the run that takes over has forgotten of it."""

from __future__ import annotations

from typing import Literal

import pytest

from benchmarks.ground import Ground
from benchmarks.simulated_metrics import SimulatedMetrics
from coalmine.records import Phase
from tests.faults.releases import Handle, begin, is_in, release, result, submission
from tests.faults.resets import ROLL_BACK, at_its_first_gate, reset_to, tasks_of
from tests.faults.witness import ledger, until

pytestmark = pytest.mark.timeout(600)
BEFORE_ITS_NUMBER = 1
"""The second of its tasks: the fleet was asked, and has not answered."""
At = Literal["at 10 %", "before its first step", "advising"]


async def _under_way(ground: Ground, metrics: SimulatedMetrics, at: At) -> Handle:
    """A release of which the ledger has something already."""
    if at == "before its first step":
        run, _ = await at_its_first_gate(ground, metrics)
    elif at == "advising":
        run = await begin(ground, submission(ground, metrics).model_copy(update={"advise": True}))
    else:
        run = await release(ground, metrics, kind="approved")
        await until(lambda: is_in(run, Phase.GATED))

    async def has_entries() -> bool:
        return bool(ledger(ground.folder, "faults/shop/2.0.0/1"))

    await until(has_entries)
    return run


@pytest.mark.parametrize("at", ["at 10 %", "before its first step", "advising"])
async def test_rolled_back_before_it_has_its_number_again_a_rollout_closes_the_record_it_had(
    ground: Ground, metrics: SimulatedMetrics, at: At
) -> None:
    worker = await ground.worker(1)
    run = await _under_way(ground, metrics, at)
    await worker.stop()
    handle = await reset_to(ground, run, number=BEFORE_ITS_NUMBER, signals=False)
    await handle.signal("rollback", ROLL_BACK)
    await ground.worker(2)
    report = await result(handle)
    assert report.rollout_id == "faults/shop/2.0.0/1"
    _closes(ground, report.rollout_id, None if at == "advising" else "rolled_back")


async def test_reset_while_it_closes_a_rollout_without_a_number_goes_on_with_the_record_it_had(
    ground: Ground, metrics: SimulatedMetrics
) -> None:
    run = await begin(ground, submission(ground, metrics))
    await run.signal("rollback", ROLL_BACK)
    worker = await ground.worker(1)
    report = await result(run)
    assert report.rollout_id == f"faults/shop/2.0.0/{run.result_run_id}"
    await worker.stop()
    handle = await reset_to(ground, run, (await tasks_of(ground, run))[-1], signals=False)
    await ground.worker(2)
    again = await result(handle)
    assert (again.rollout_id, again.outcome) == (report.rollout_id, "rolled_back")
    _closes(ground, report.rollout_id, "rolled_back")


def _closes(ground: Ground, rollout_id: str, outcome: str | None) -> None:
    """Assert that a record has all its entries, and says last how it ended; all that there is of it is there."""
    entries = ledger(ground.folder, rollout_id)
    sequences = {entry["sequence"] for entry in entries}
    assert sequences == set(range(1, len(sequences) + 1))
    *_, last = [entry["data"]["outcome"] for entry in entries if entry["kind"] == "closed"]
    assert last == outcome
    files = [path.name for path in (ground.folder / "ledger").glob("*/**/*.jsonl") if path.name != "heads.jsonl"]
    assert len(files) == 1, files
