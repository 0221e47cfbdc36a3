"""A real rollout's ledger, written by the real activities: verified against Temporal, replayed, and told without it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from activities.archive import ArchiveActivities, kept_histories
from activities.ledger import LedgerActivities
from activities.ledgers.file import FileLedger
from coalmine.worker_settings import WorkerSettings
from tests.activities.ledgers.books import lines
from tests.cli.conftest import WORKFLOW_ID, Desk
from worker import build_workers
from workflows.canary import Canary
from workflows.one_input import OneInput
from workflows.runner import HistoryBoundRunner

QUICK: dict[str, Any] = {
    "steps": [{"weight": 10, "for": "1s"}],
    "policy": {"look": "1s"},
    "promotion": {"bake": "1s", "rollback_window": "1s"},
}


async def test_a_cut_is_found_by_what_temporal_holds_and_the_copy_replays(empty_desk: Desk) -> None:
    desk, world = empty_desk, empty_desk.world
    ledger, archive = LedgerActivities(), ArchiveActivities(desk.client)
    ours = (world.write_ledger, world.archive_history)
    workers = build_workers(
        desk.client,
        WorkerSettings(drain=timedelta(seconds=1)),
        main=[*(one for one in world.activities if one not in ours), ledger.write_ledger],
        side=[*(one for one in world.side_activities if one not in ours), archive.archive_history],
        hooks=world.hook_activities,
    )
    async with workers[0], workers[1], workers[2]:
        assert (await desk.type("start", desk.write(**QUICK), "--watch")).code == 0
        await desk.client.get_workflow_handle(WORKFLOW_ID).result()
        closed = await desk.coalmine.status(desk.ref)
        report = await desk.coalmine.report(desk.ref)
    assert report is not None
    assert report.ledger_tip is not None
    async with asyncio.timeout(30):
        while not await desk.coalmine.rollouts(running=False):
            await asyncio.sleep(0.05)  # Visibility lags a little behind.
    verified = await desk.type("ledger", "verify", "--connect", "-o", "json")
    assert verified.code == 0, verified
    assert (verified.data["compared"], verified.data["archives"]) == (1, 1)
    assert verified.data["tips"][closed.rollout_id] == report.ledger_tip.model_dump()

    store = FileLedger(desk.folder / "ledger")
    entries = await store.rollout("test/checkout", closed.rollout_id)
    ((run_id, history),), lacking = await kept_histories(store, entries)
    assert (run_id, lacking) == (closed.run_id, [])
    replayer = Replayer(
        workflows=[Canary],
        data_converter=pydantic_data_converter,
        interceptors=[OneInput()],
        workflow_runner=HistoryBoundRunner(),
    )
    replayed = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    assert replayed.replay_failure is None, str(replayed.replay_failure)
    told = await desk.type("history", closed.rollout_id, "--ledger")
    assert "shift 100 % to 1.1.0" in told.out

    # The newest records go, and their heads with them: the ledger alone cannot tell any more.
    path, heads = store.file_of("test/checkout", closed.rollout_id), desk.folder / "ledger/heads.jsonl"
    last = len(lines(path))
    while len(lines(heads)) > 1 and f'"records":{last}'.encode() in lines(heads)[-1]:
        heads.write_bytes(b"".join(lines(heads)[:-1]))
    before = next(n for n in range(last, 0, -1) if f'"records":{n},'.encode() in lines(heads)[-1])
    path.write_bytes(b"".join(lines(path)[:before]))
    assert (await desk.type("ledger", "verify")).code == 0
    cut = await desk.type("ledger", "verify", "--connect")
    assert cut.code == 1
    assert f"the tail was cut off after this line, and the heads with it: {last} records were kept" in cut.out
