"""Waiting for a restore for as long as it takes, while people hear that it takes long."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from coalmine.rollout import RolloutState
    from coalmine.spec.durations import format_duration

from workflows.interruption import drop
from workflows.journal import Journal

T = TypeVar("T")

TELL_AFTER = timedelta(minutes=1)
"""A restore that takes longer than this is told to people, and again ten times as late."""


class Patience:
    """Never gives a restore up, and never keeps it from people."""

    def __init__(self, state: RolloutState, journal: Journal) -> None:
        self._state = state
        self._journal = journal

    async def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a piece of the restore, and tell people when the whole is not done within a minute."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                try:
                    await workflow.wait_condition(
                        task.done,
                        timeout=max(self._next_telling() - workflow.now(), timedelta(0)),
                        timeout_summary="tell people if it is not restored by then",
                    )
                except TimeoutError:
                    self._tell_of_slow_restore()
        except asyncio.CancelledError:
            drop(task)
            raise
        return task.result()

    def _next_telling(self) -> datetime:
        began = self._state.restore_began or workflow.now()
        return began + self._until_told()

    def _until_told(self) -> timedelta:
        until: timedelta = TELL_AFTER * 10**self._state.restore_told
        return until

    def _tell_of_slow_restore(self) -> None:
        state = self._state
        tried = format_duration(self._until_told())
        why = f" ({state.restore_failure})" if state.restore_failure else ""
        state.restore_told += 1
        self._journal.tell(
            "Rollback is not confirmed yet",
            f"{state.rollout_id}: the route has not read back right for {tried}{why}; still trying.",
            "critical",
        )
        self._journal.note("restore_slow", f"the rollback is not confirmed after {tried}; people were told")
        self._journal.show_page()
