"""Histories beside the ledger: the very history, readable and replayable after Temporal has forgotten it."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Replayer

from activities.archive import ArchiveActivities, history_of
from activities.ledgers.file import FileLedger
from coalmine.records import Archived, ArchiveRequest, LedgerEntry
from coalmine.spec.ledger import Ledger
from tests.activities.ledgers.books import NOON, ROLLOUT, places, verified
from workflows.canary import Canary
from workflows.one_input import OneInput
from workflows.runner import HistoryBoundRunner

BOOK = "production/checkout"


def request(path: Path, workflow_id: str = "canary/none", run_id: str = "") -> ArchiveRequest:
    return ArchiveRequest(
        ledger=Ledger(path=str(path)),
        service="checkout",
        environment="production",
        rollout_id=ROLLOUT,
        workflow_id=workflow_id,
        run_id=run_id or "01a20632-94ea-7a2e-8f89-7b57fb332e89",
    )


async def a_closed_workflow(client: Client) -> tuple[str, str]:
    """One that no worker ever took, terminated: a history nonetheless."""
    handle = await client.start_workflow("Canary", id="canary/production/checkout", task_queue="nobody")
    await handle.terminate(reason="for the test")
    assert handle.result_run_id
    return handle.id, handle.result_run_id


async def test_what_is_kept_is_the_history(temporal_client: Client, tmp_path: Path) -> None:
    workflow_id, run_id = await a_closed_workflow(temporal_client)
    archive = ArchiveActivities(temporal_client).archive_history
    asked = request(tmp_path, workflow_id, run_id)
    kept: Archived = await ActivityEnvironment().run(archive, asked)
    path = tmp_path / kept.file
    assert path.name.startswith(f"1.42.0-1.{run_id}.")
    content = path.read_bytes()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (kept.sha256, kept.bytes)
    original = await temporal_client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
    assert json.loads(gzip.decompress(content)) == json.loads(original.to_json())
    assert (kept.events, kept.whole) == (len(original.events), True)
    # Again, as after a worker that died before it could say so: the same file, and no other.
    assert await ActivityEnvironment().run(archive, asked) == kept
    assert [found.name for found in path.parent.iterdir()] == [path.name]


async def test_a_run_that_is_open_is_kept_so_far(temporal_client: Client, tmp_path: Path) -> None:
    handle = await temporal_client.start_workflow("Canary", id="canary/production/checkout", task_queue="nobody")
    asked = request(tmp_path, handle.id, handle.result_run_id or "")
    kept: Archived = await ActivityEnvironment().run(ArchiveActivities(temporal_client).archive_history, asked)
    assert not kept.whole
    await handle.terminate()


async def test_a_history_that_is_gone_is_not_asked_for_again(temporal_client: Client, tmp_path: Path) -> None:
    with pytest.raises(ApplicationError, match="Temporal no longer has run 01a2") as caught:
        await ActivityEnvironment().run(ArchiveActivities(temporal_client).archive_history, request(tmp_path))
    assert (caught.value.type, caught.value.non_retryable) == ("HistoryGone", True)


async def test_a_kept_history_replays() -> None:
    recorded = sorted((Path(__file__).parents[1] / "histories").glob("*/promoted.json"))[-1].read_bytes()
    history = history_of("canary/test/checkout", gzip.compress(recorded))
    replayer = Replayer(
        workflows=[Canary],
        data_converter=pydantic_data_converter,
        interceptors=[OneInput()],
        workflow_runner=HistoryBoundRunner(),
    )
    assert (await replayer.replay_workflow(history, raise_on_replay_failure=False)).replay_failure is None


class TestVerified:
    """The chain names each history by its digest."""

    @pytest.fixture
    def kept(self, tmp_path: Path) -> Path:
        content = gzip.compress(b'{"events":[]}', mtime=0)
        digest = hashlib.sha256(content).hexdigest()
        ledger = FileLedger(tmp_path)

        async def write() -> str:
            name = await ledger.keep(BOOK, ROLLOUT, f"run.{digest[:12]}.history.json.gz", content)
            told = Archived(file=name, sha256=digest, run_id="run", events=0, bytes=len(content), whole=True)
            entry = LedgerEntry(
                kind="archived", rollout_id=ROLLOUT, sequence=1, at=NOON, data=told.model_dump(mode="json")
            )
            await ledger.append(BOOK, [entry])
            assert await ledger.kept(name) == content
            return name

        return tmp_path / asyncio.run(write())

    def test_as_it_was(self, tmp_path: Path, kept: Path) -> None:
        found = verified(tmp_path)
        assert (found.faults, found.archives, found.unnamed) == ([], 1, 0)

    def test_a_bit_changed(self, tmp_path: Path, kept: Path) -> None:
        content = bytearray(kept.read_bytes())
        content[len(content) // 2] ^= 4
        kept.write_bytes(content)
        assert places(verified(tmp_path)) == [("archive", kept.name, None)]

    def test_removed(self, tmp_path: Path, kept: Path) -> None:
        kept.unlink()
        assert places(verified(tmp_path)) == [("missing", kept.name, None)]

    def test_one_that_no_chain_names(self, tmp_path: Path, kept: Path) -> None:
        kept.with_name(f"1.42.0-1.other{kept.name[-30:]}").write_bytes(b"")
        found = verified(tmp_path)
        assert (found.faults, found.unnamed) == ([], 1)


async def test_a_name_never_leads_out_of_the_ledger(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    assert await FileLedger(tmp_path / "ledger").kept("../secret") is None
    assert await FileLedger(tmp_path / "ledger").kept(str(tmp_path / "secret")) is None
