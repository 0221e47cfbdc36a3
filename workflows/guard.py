"""One environment's traffic guard: an entity workflow that looks, tells people once, and restores by policy.

It owns no route. Where a rollout runs, the route is that rollout's; the guard is the successor of dead ones only, and
writes one generation above the reading it acts on, so that whoever wrote since wins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine import guarding
    from coalmine.guard_page import page
    from coalmine.guard_telling import forget_oldest
    from coalmine.records import (
        ARCHIVE_CLOSED,
        GUARD_RESTORE,
        NOTIFY,
        SURVEY_ROUTES,
        WRITE_LEDGER,
        ArchiveClosedRequest,
        GuardRestoreRequest,
        GuardSettings,
        GuardState,
        GuardStatus,
        LedgerWrite,
        NotifyRequest,
        SurveyRequest,
    )
    from coalmine.spec.durations import format_duration

from workflows.calls import Budget, call
from workflows.interruption import failure_reason
from workflows.versioning import when_versioned

T = TypeVar("T")

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
"""Lives of a guard are numbered by the seconds from here on: later ones are higher, and no two are the same."""
SURVEY = Budget(timedelta(seconds=60), total=timedelta(seconds=90), heartbeat=timedelta(seconds=10))
RESTORE = Budget(timedelta(seconds=15), total=timedelta(seconds=45), heartbeat=timedelta(seconds=5))
ARCHIVE = Budget(timedelta(seconds=45), total=timedelta(seconds=60), heartbeat=timedelta(seconds=10))
BESIDE = "guard-beside"
"""Histories recorded before hand over and archive within a look, and restore one route after the other."""
OFFERS_ALL = "guard-offers-all"
"""Histories recorded before forget the oldest of what one look found, where it is much, before it was handed over."""
RESTORES_AT_ONCE = 20
FAILURE_LIMIT = 500
"""Characters of why histories could not be kept."""
RECORD = Budget(timedelta(seconds=10), total=timedelta(seconds=20), heartbeat=timedelta(seconds=5))
"""Of a message or a ledger write: what nobody took is tried again at the next look."""


@workflow.defn(name="TrafficGuard", versioning_behavior=when_versioned(VersioningBehavior.AUTO_UPGRADE))
class TrafficGuard:
    """Looks every ``settings.every``; ends when it is turned off."""

    @workflow.init
    def __init__(self, state: GuardState) -> None:
        self._state = state
        self._look_now = False
        self._looks_alone = False
        self._hand_over_again = False
        self._handing: asyncio.Task[None] | None = None
        self._archiving: asyncio.Task[None] | None = None
        if not state.number:
            state.number = str(int((workflow.info().start_time - FIRST_DAY).total_seconds()))

    @workflow.run
    async def run(self, state: GuardState) -> GuardStatus:
        """Look until turned off; continue as new when the history grows long."""
        state = self._state
        # Asked in a run's first task, as the rollouts' patches are.
        self._looks_alone = workflow.patched(BESIDE)
        state.offers_all = workflow.patched(OFFERS_ALL)
        self._show()
        while not await self._is_over():
            self._look_now = False
            await self._look()
            self._show()
            if workflow.info().is_continue_as_new_suggested():
                await self._all_done()
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(state)
            await self._rest()
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._show()
        return guarding.status(state)

    async def _is_over(self) -> bool:
        """It is turned off, and not on again while the last messages went out."""
        if self._state.off:
            await self._all_done()
            await self._hand_over()
        return self._state.off

    @workflow.update(name="configure", description="Set how often the guard looks and what it does; turns it on")
    def configure(self, settings: GuardSettings) -> GuardStatus:
        """Take new settings; the next look is at once."""
        self._state.settings, self._state.off, self._look_now = settings, False, True
        self._show()
        return guarding.status(self._state)

    @workflow.update(name="off", description="Turn the guard off")
    def turn_off(self) -> GuardStatus:
        """End after what is under way; findings stay where they are."""
        self._state.off = True
        self._show()
        return guarding.status(self._state)

    @workflow.signal(name="look", description="Look now instead of at the end of the interval")
    def look(self) -> None:
        """Look now."""
        self._look_now = True

    @workflow.query(name="status", description="What is wrong now, when the guard looked last, and its settings")
    def status(self) -> GuardStatus:
        """The guard as people see it."""
        return guarding.status(self._state)

    async def _look(self) -> None:
        state = self._state
        request = SurveyRequest(
            environment=state.environment,
            known={key: watched.run_id for key, watched in state.watched.items()},
            unlisted=[state.watched[key] for key in state.unlisted if key in state.watched],
            stuck={run_id: opened.stuck.workflow_id for run_id, opened in state.stuck.items()},
        )
        try:
            survey = await call(SURVEY_ROUTES, request, SURVEY, f"look {state.looks + 1}: read the routes at rest")
        except ActivityError as error:
            state.failure = failure_reason(error)
        else:
            due = guarding.take_in(state, survey, workflow.now())
            at_once = RESTORES_AT_ONCE if self._looks_alone else 1
            for first in range(0, len(due), at_once):
                await asyncio.gather(*(self._restore(key) for key in due[first : first + at_once]))
        self._show()
        if not self._looks_alone:
            await asyncio.gather(self._hand_over(), self._archive())
            return
        # Beside the looks: a ledger or a channel that hangs delays no restore.
        self._hand_over_again = True
        if self._handing is None or self._handing.done():
            self._handing = asyncio.create_task(self._keep_handing_over())
        if self._archiving is None or self._archiving.done():
            self._archiving = asyncio.create_task(self._archive())

    async def _keep_handing_over(self) -> None:
        """Until nothing has come since it began: what a look adds does not wait for the next one."""
        while self._hand_over_again:
            self._hand_over_again = False
            await self._hand_over()
            self._show()

    async def _all_done(self) -> None:
        """Wait for what goes on beside the looks; its activities end within a minute each."""
        await asyncio.gather(*(task for task in (self._handing, self._archiving) if task is not None))

    async def _restore(self, key: str) -> None:
        state = self._state
        watched, finding = state.watched[key], state.open[key].finding
        request = GuardRestoreRequest(watched=watched, generation=finding.generation + 1)
        try:
            answer = await call(GUARD_RESTORE, request, RESTORE, f"restore {watched.service}")
        except ActivityError as error:
            guarding.not_restored(state, key, failure_reason(error), workflow.now())
            return
        if answer.done:
            guarding.restored(state, key, workflow.now())
        else:
            guarding.not_restored(state, key, answer.reason, workflow.now())

    async def _archive(self) -> None:
        """Keep the histories of rollouts that could not do so themselves."""
        state = self._state
        request = ArchiveClosedRequest(environment=state.environment, since=state.archived_until)
        try:
            answer = await call(ARCHIVE_CLOSED, request, ARCHIVE, "archive what dead rollouts left")
        except ActivityError as error:
            state.archive_failure = failure_reason(error)
            return
        state.archived_until, state.archived = answer.until, state.archived + len(answer.archived)
        state.archive_failure = "; ".join(answer.failed)[:FAILURE_LIMIT]

    async def _hand_over(self) -> None:
        """Write the ledger and tell people; what is not taken stays for the next look."""
        state = self._state
        messages = _grouped(state.outbox, lambda message: str(message.channels))
        writes = _grouped(state.backlog, lambda write: write.ledger.model_dump_json())
        # Each goes on without the others: a channel or a ledger that hangs keeps no other from hearing of it.
        offered, written = _keys(state.outbox), _sequences(state.backlog)
        refused = await asyncio.gather(
            *(self._write(group) for group in writes), *(self._tell(group) for group in messages)
        )
        state.not_taken = "; ".join(dict.fromkeys(why for why in refused if why))[:FAILURE_LIMIT]
        if state.offers_all:
            forget_oldest(state, offered, written)

    async def _write(self, group: list[LedgerWrite]) -> str:
        """Entries of one ledger go in one write, in order; why it took none, or nothing."""
        request = group[0].model_copy(update={"entries": [entry for write in group for entry in write.entries]})
        try:
            await call(WRITE_LEDGER, request, RECORD, f"{len(request.entries)} entries")
        except ActivityError as error:
            workflow.logger.warning("the ledger took nothing", extra={"why": failure_reason(error)})
            return failure_reason(error)
        written = {entry.sequence for entry in request.entries}
        self._state.backlog = [kept for kept in self._state.backlog if kept.entries[0].sequence not in written]
        return ""

    async def _tell(self, group: list[NotifyRequest]) -> str:
        """Messages of the same channels go in order; the first that is not taken waits, and those after it.

        Returns:
            Why it was not, or nothing.
        """
        for message in group:
            key = message.notification.key
            if message.channels:
                try:
                    await call(NOTIFY, message, RECORD, f"tell: {message.notification.title}")
                except ActivityError as error:
                    workflow.logger.warning("message not delivered", extra={"why": failure_reason(error)})
                    return failure_reason(error)
            self._state.outbox = [kept for kept in self._state.outbox if kept.notification.key != key]
        return ""

    async def _rest(self) -> None:
        state = self._state
        summary = f"look {state.looks + 1} in {format_duration(state.settings.every)}"
        try:
            await workflow.wait_condition(
                lambda: self._look_now or state.off, timeout=self._pause(), timeout_summary=summary
            )
        except TimeoutError:
            return

    def _pause(self) -> timedelta:
        """Until the next look: earlier when a finding's grace ends before."""
        state, now = self._state, workflow.now()
        every: timedelta = state.settings.every
        ends = [opened.since + state.settings.grace - now for opened in state.open.values()]
        return min([every, *(left for left in ends if left > timedelta(0))])

    def _show(self) -> None:
        workflow.set_current_details(page(self._state))


def _keys(messages: list[NotifyRequest]) -> set[str]:
    return {message.notification.key for message in messages}


def _sequences(writes: list[LedgerWrite]) -> set[int]:
    return {write.entries[0].sequence for write in writes}


def _grouped(items: list[T], by: Callable[[T], str]) -> list[list[T]]:
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(by(item), []).append(item)
    return list(groups.values())
