"""The one way in for every interface: start, ask, say, watch. Workflows are named by string only.

coalmine = await Coalmine.connect()
receipt = await coalmine.start(spec, by="ana@example.org")
ref = await coalmine.find("checkout", environment="production")
status = await coalmine.status(ref)
await coalmine.send(ref, Verb.APPROVE, by="ana@example.org", reason="looks fine")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from urllib.parse import quote

from temporalio.client import Client, WorkflowExecutionStatus

from coalmine import searching, starting
from coalmine.connection import Settings, connect_client, no_worker, settings
from coalmine.errors import RolloutNotFound, TemporalUnavailable
from coalmine.fleet_calls import FleetCalls
from coalmine.following import LOOK_EVERY, follow, is_over
from coalmine.pollers import Poller, pollers
from coalmine.records import (
    HOOK_TASK_QUEUE,
    SIDE_TASK_QUEUE,
    TASK_QUEUE,
    ChainTip,
    Phase,
    Receipt,
    RolloutStatus,
    Submission,
)
from coalmine.rollout_commands import RolloutCommands
from coalmine.rollout_names import RolloutName, readings
from coalmine.searching import RolloutRef, RolloutRow
from coalmine.spec.canary import CanarySpec
from coalmine.telemetry.spans import traceparent
from coalmine.timeline import TimelineEntry
from coalmine.unlike import list_unlike

__all__ = ["Coalmine", "RolloutRef", "RolloutRow", "TimelineEntry", "is_over"]

START_WITHIN = timedelta(seconds=30)
"""How long a start waits for a worker, for its taking the submission, and for admission."""
ROLLOUTS_COMPARED = 10_000
"""Closed rollouts whose results are read at most, the latest first, to verify a ledger."""


class Coalmine(RolloutCommands, FleetCalls):
    """A connection to the rollouts of one Temporal namespace."""

    def __init__(self, temporal: Client, found: Settings | None = None) -> None:
        """Wrap a client whose data converter is ``pydantic_data_converter``; ``found`` tells links where the UI is."""
        self.temporal = temporal
        self.settings = found

    @classmethod
    async def connect(cls, profile: str | None = None) -> Coalmine:
        """Connect by the settings of the ``temporal`` CLI, else to the local stack that is up.

        Raises:
            InputError: the profile cannot be read.
            TemporalUnavailable: no server is set, or it does not answer.
        """
        found = settings(profile)
        return cls(await connect_client(found), found)

    # ---------------------------------------------------------------------------------------- starting

    async def start(
        self,
        spec: CanarySpec,
        *,
        by: str,
        automated: bool = False,
        reason: str = "",
        advise: bool = False,
        during_freeze: bool = False,
        authors: Sequence[str] = (),
        token: str = "",
        within: timedelta = START_WITHIN,
    ) -> Receipt:
        """Start a release, attach to it when it runs already, or hear that it was promoted or may not start.

        Raises:
            RefusedError: the workflow refused the submission.
            TemporalUnavailable: no worker or no server within ``within``; nothing was started.
        """
        submission = Submission(
            spec=spec,
            by=by,
            automated=automated,
            reason=reason,
            advise=advise,
            during_freeze=during_freeze,
            authors=list(authors),
            token=token,
            trace=traceparent(),
        )
        receipt = await starting.start(self.temporal, submission, within)
        if receipt.disposition == "started" and not receipt.rollout_id:
            return await self._taken_over(receipt, within)
        return receipt

    async def _taken_over(self, receipt: Receipt, within: timedelta) -> Receipt:
        """The answer of a release that closes another's rollback window: what became of its own admission."""
        ref, latest = RolloutRef(receipt.workflow_id), receipt.model_copy(update={"run_id": ""})
        try:
            async with asyncio.timeout(within.total_seconds()):
                async for seen in self.follow(ref, every=0.2, version=receipt.version):
                    if not isinstance(seen, RolloutStatus):
                        continue
                    latest = starting.receipt_of(seen, latest)
                    if seen.phase is not Phase.ADMITTING:
                        break
        except TimeoutError:
            pass
        return latest

    # ----------------------------------------------------------------------------------------- finding

    async def find(self, name: str, environment: str | None = None, region: str | None = None) -> RolloutRef:
        """The rollout a person means: by service, workflow id or rollout id (``coalmine.rollout_names``).

        Raises:
            InputError: the name is none of the forms, or means several.
            RolloutNotFound: there is none; names the nearest.
        """
        first, *others = readings(name, environment, region)
        try:
            return await self._find(first)
        except RolloutNotFound:
            for other in others:
                with suppress(RolloutNotFound):
                    return await self._find(other)
            raise

    async def _find(self, wanted: RolloutName) -> RolloutRef:
        workflow_id = await searching.locate(self.temporal, wanted)
        rollout_id = wanted.rollout_id()
        if rollout_id is None:
            await self._describe(RolloutRef(workflow_id))
            return RolloutRef(workflow_id)
        rows = await searching.list_rollouts(
            self.temporal, service=wanted.service, environment=wanted.environment, version=wanted.version
        )
        for row in rows:
            ref = RolloutRef(row.workflow_id, row.run_id)
            if row.workflow_id == workflow_id and (seen := await self.status(ref)).rollout_id == rollout_id:
                # The list may be late: a rollout that is over can be on it as open.
                going_on = row.open and seen.phase is not Phase.CLOSED
                return RolloutRef(workflow_id, rollout_id=rollout_id) if going_on else ref
        if any(row.workflow_id == workflow_id for row in rows):
            raise RolloutNotFound(f"there is no rollout '{rollout_id}'; coalmine list shows those that are")
        raise await searching.not_found(self.temporal, workflow_id)

    async def rollouts(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        region: str | None = None,
        running: bool | None = None,
        phase: str | None = None,
        workflow_ids: Sequence[str] | None = None,
        limit: int = 50,
    ) -> list[RolloutRow]:
        """Rollouts, open ones first, then the latest closed; needs no worker. ``workflow_ids``: these alone."""
        return await searching.list_rollouts(
            self.temporal,
            service=service,
            environment=environment,
            region=region,
            running=running,
            phase=phase,
            workflow_ids=workflow_ids,
            limit=limit,
        )

    async def unlike(self, known: Sequence[RolloutRow], limit: int = 500) -> list[RolloutRow]:
        """Open rollouts that are no longer as these rows say, and those that are in none; needs no worker."""
        return await list_unlike(self.temporal, known, limit)

    async def ledger_tips(self, environment: str | None = None, region: str | None = None) -> dict[str, ChainTip]:
        """Where the ledger's chain of each closed rollout ended, by rollout id, as the results that are held say."""
        tips: dict[str, ChainTip] = {}
        rows = await self.rollouts(environment=environment, region=region, running=False, limit=ROLLOUTS_COMPARED)
        for row in rows:
            report = await self.report(RolloutRef(row.workflow_id, row.run_id))
            if report is not None and report.ledger_tip is not None:
                tips[report.rollout_id] = report.ledger_tip
        return tips

    # ---------------------------------------------------------------------------------------- watching

    async def follow(
        self, ref: RolloutRef, every: float = LOOK_EVERY, version: str | None = None
    ) -> AsyncIterator[RolloutStatus | TemporalUnavailable]:
        """One rollout's status again and again, until it is over; the next rollout of the service is not followed.

        While nobody answers, the reason is yielded instead: the rollout itself is not harmed by that. With ``version``
        what is before that version's rollout is passed over: it may have to close another's rollback window first.

        Raises:
            RolloutNotFound: there is none, or it ended before ``version`` began.
        """
        async for seen in follow(self.status, self._status_of_earlier, self._is_open, ref, every, version):
            yield seen

    async def _status_of_earlier(self, seen: RolloutStatus) -> RolloutStatus:
        """The status of a rollout that is no longer its workflow's latest; its last run may be a later one."""
        try:
            return await self.status(await self.find(seen.rollout_id, seen.environment))
        except RolloutNotFound:
            return await self.status(RolloutRef(seen.workflow_id, seen.run_id))

    async def _is_open(self, ref: RolloutRef) -> bool:
        return (await self._describe(ref)).status is WorkflowExecutionStatus.RUNNING

    async def wait(self, ref: RolloutRef, timeout: timedelta | None = None) -> RolloutStatus:
        """Wait until a rollout has its outcome, or until ``timeout``: that is the watcher's, the rollout goes on.

        Returns:
            The latest status; ``is_over`` tells which of the two it was.

        Raises:
            RolloutNotFound: there is none.
            TemporalUnavailable: nobody answered at all until the time-out.
        """
        latest: RolloutStatus | TemporalUnavailable = TemporalUnavailable(no_worker(ref.workflow_id))
        try:
            async with asyncio.timeout(timeout.total_seconds() if timeout else None):
                async for seen in self.follow(ref):
                    if isinstance(seen, RolloutStatus) or isinstance(latest, TemporalUnavailable):
                        latest = seen
        except TimeoutError:
            pass
        if isinstance(latest, TemporalUnavailable):
            raise latest
        return latest

    # ------------------------------------------------------------------------------------- surroundings

    async def workers(self) -> list[Poller]:
        """Who polls the task queues now."""
        wanted = (
            (TASK_QUEUE, "workflows"),
            *((queue, "activities") for queue in (TASK_QUEUE, SIDE_TASK_QUEUE, HOOK_TASK_QUEUE)),
        )
        found = await asyncio.gather(*(pollers(self.temporal, queue, kind) for queue, kind in wanted))
        return [poller for group in found for poller in group]

    def ui_link(self, workflow_id: str, run_id: str | None = None) -> str | None:
        """Where the Temporal UI shows a rollout; None when nobody said where the UI is (``COALMINE_UI_URL``)."""
        if self.settings is None or not self.settings.ui:
            return None
        page = f"{self.settings.ui.rstrip('/')}/namespaces/{quote(self.temporal.namespace, safe='')}"
        page += f"/workflows/{quote(workflow_id, safe='')}"
        return f"{page}/{quote(run_id, safe='')}/timeline" if run_id else page
