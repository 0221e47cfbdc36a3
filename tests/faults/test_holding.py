"""A write that is held open: whoever forgets it is found out however late the fault comes, and nobody else is."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tests.faults import catalogue
from tests.faults.__main__ import carry_out
from tests.faults.act import Act
from tests.faults.broken_worker import MET_AT, TOUCHED, VARIABLE
from tests.faults.forked_worker import ForkedWorker
from tests.faults.plan import PlannedFault, PlannedRollout
from tests.faults.releases import shifted
from tests.faults.witness import PATIENCE

LATE = 2.0
"""Seconds; far longer than a write and its confirmation take where nothing is in their way."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("broken", ["no-compensation", ""])
@pytest.mark.parametrize("kind", TOUCHED["no-compensation"])
async def test_a_late_fault_meets_the_write_unconfirmed(
    kind: str, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv(VARIABLE, broken)
    confirmed: list[bool] = []
    regular = catalogue.CATALOGUE[kind]

    async def late(act: Act) -> None:
        """What a fault is on a busy machine."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LATE):
                while not await shifted(act.handle, generation=1):
                    await asyncio.sleep(0.02)
        confirmed.append(await shifted(act.handle, generation=1))
        await regular(act)

    monkeypatch.setitem(catalogue.CATALOGUE, kind, late)
    plan = [PlannedRollout((PlannedFault(kind, "shift", 7),), bad=False)]
    [act], ledger = await carry_out(7, plan, PATIENCE, broken, routes=1, worker_kind=ForkedWorker)
    assert ledger == []
    assert confirmed == [False]
    if broken:
        assert any(wrong.startswith("I1: ") for wrong in act.wrong)
    else:
        assert act.wrong == []


def test_the_build_that_forgets_a_write_meets_nothing_but_held_ones() -> None:
    name = "no-compensation"
    faults = [PlannedFault(kind, moment, 1) for kind in TOUCHED[name] for moment in MET_AT[name]]
    assert len(faults) == 4
    assert all(fault.meets_held_write for fault in faults)
    assert not PlannedFault("workflow-cancel", "gate", 1).meets_held_write
    assert not PlannedFault("worker-kill", "shift", 1).meets_held_write
