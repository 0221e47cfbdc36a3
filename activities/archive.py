"""The activity that keeps workflow histories beside the ledger."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import zlib
from collections.abc import Callable, Sequence

from google.protobuf.json_format import ParseError
from pydantic import ValidationError
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHistory
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.beating import beating
from activities.failures import translate_errors
from activities.ledgers.base import LedgerStore
from activities.ledgers.names import book_named, book_of
from activities.ledgers.registry import open_ledger
from coalmine.errors import LedgerCorrupt
from coalmine.records import ARCHIVE_HISTORY, Archived, ArchiveRequest, LedgerEntry, unreadable
from coalmine.spec.ledger import Ledger

_ENDS = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
    }
)


class ArchiveActivities:
    """Reads histories from Temporal and writes them where specs keep their ledger."""

    def __init__(self, client: Client, ledgers: Callable[[Ledger], LedgerStore] = open_ledger) -> None:
        self._client = client
        self._ledgers = ledgers

    @activity.defn(name=ARCHIVE_HISTORY.name)
    async def archive_history(self, request: ArchiveRequest) -> Archived:
        """Keep the history of one run as it is now: JSON as Temporal exports it, compressed.

        Payloads are kept as the server has them: what a codec encrypted stays encrypted. The name of the file holds its
        digest, so a repeated call writes the same file, and one that comes late never replaces another's.

        Raises:
            ApplicationError: ``HistoryGone`` (not to be retried), ``LedgerError`` (to be retried), ``UnknownAdapter``.
        """
        with translate_errors():
            store = self._ledgers(request.ledger)
            async with beating():
                history = await self._fetch(request)
                content = await asyncio.to_thread(compressed, history)
                digest = hashlib.sha256(content).hexdigest()
                file = await store.keep(
                    book_named(request.environment, request.service, request.region),
                    request.rollout_id,
                    f"{request.run_id}.{digest[:12]}.history.json.gz",
                    content,
                )
        return Archived(
            file=file,
            sha256=digest,
            run_id=request.run_id,
            events=len(history.events),
            bytes=len(content),
            whole=bool(history.events) and history.events[-1].event_type in _ENDS,
        )

    async def _fetch(self, request: ArchiveRequest) -> WorkflowHistory:
        handle = self._client.get_workflow_handle(request.workflow_id, run_id=request.run_id)
        try:
            return await handle.fetch_history()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            reason = f"Temporal no longer has run {request.run_id} of {request.workflow_id}"
            raise ApplicationError(reason, type="HistoryGone", non_retryable=True) from error


async def kept_histories(
    store: LedgerStore, entries: Sequence[LedgerEntry]
) -> tuple[list[tuple[str, WorkflowHistory]], list[str]]:
    """The histories that the entries of one rollout name, by run id, oldest first; and what is lacking, in sentences.

    Raises:
        LedgerError: one cannot be read.
        LedgerCorrupt: one is not what the chain names.
    """
    by_run: dict[str, Archived] = {}
    lacking: list[str] = []
    for entry in entries:
        if entry.kind == "archived":
            told = _named_by(entry)
            by_run[told.run_id] = told
        elif entry.kind == "archive_failed":
            lacking.append(f"the history of run {entry.data.get('run_id')} was not kept: {entry.reason}")
    runs: list[tuple[str, WorkflowHistory]] = []
    for run_id, told in by_run.items():
        content = await store.kept(told.file)
        if content is None:
            lacking.append(f"the history of run {run_id} is missing: {told.file}")
        elif hashlib.sha256(content).hexdigest() != told.sha256:
            raise LedgerCorrupt(f"{told.file}: the kept history was changed: it is not the one that its chain names")
        else:
            workflow_id = f"canary/{book_of(entries[0].rollout_id)}"
            try:
                runs.append((run_id, await asyncio.to_thread(history_of, workflow_id, content)))
            except (OSError, EOFError, zlib.error, ValueError, RecursionError, ParseError) as error:
                # Whoever put it there named it in the chain, so its digest is right.
                raise LedgerCorrupt(
                    f"{told.file}: the kept history is none ({error}): put the right one there"
                ) from None
    return runs, lacking


def _named_by(entry: LedgerEntry) -> Archived:
    try:
        return Archived.model_validate(entry.data)
    except ValidationError as error:
        raise LedgerCorrupt(
            f"{entry.rollout_id}: entry {entry.sequence} names no archived history ({unreadable(error)}): it was "
            "changed; coalmine ledger verify says where"
        ) from None


def compressed(history: WorkflowHistory) -> bytes:
    """A history as it is kept; the same history is the same bytes."""
    return gzip.compress(history.to_json().encode(), mtime=0)


def history_of(workflow_id: str, content: bytes) -> WorkflowHistory:
    """A history that was kept, as the Temporal SDK reads and replays it."""
    return WorkflowHistory.from_json(workflow_id, gzip.decompress(content).decode())
