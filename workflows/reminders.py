"""Telling people again that a gate waits, and telling others, beside the rollout: nothing waits for it.

There is no loop, and so no command in any history, unless the spec's gates remind or escalate.
"""

from __future__ import annotations

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from coalmine.gates import members_of
    from coalmine.reminding import Reminder, asks_again, next_reminder, remind
    from coalmine.rollout import RolloutState

from workflows.background import Rank, when
from workflows.journal import Journal


class Reminders:
    """Reminds people of the gates of one rollout."""

    def __init__(self, state: RolloutState, journal: Journal) -> None:
        self._state = state
        self._journal = journal
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch the gates, where any of them reminds."""
        if asks_again(self._state.spec):
            self._task = asyncio.create_task(self._keep())

    def stop(self) -> None:
        """End; the state says what was sent."""
        if self._task is not None:
            self._task.cancel()

    async def _keep(self) -> None:
        while True:
            await when(lambda: next_reminder(self._state) is not None, Rank.REMINDERS)
            due = next_reminder(self._state)
            if due is None:
                continue
            if due.at > workflow.now():
                await self._until(due)
            else:
                self._send(due)

    async def _until(self, due: Reminder) -> None:
        """Wait for the moment, or until something else is to be said next. The timer ends in this loop's turn only."""
        what = "others are told" if due.escalates else "people are told again"
        wait = workflow.sleep(due.at - workflow.now(), summary=f"gate '{due.gate}' waits: {what}"[:190])
        timer = asyncio.create_task(wait)
        await when(lambda: timer.done() or next_reminder(self._state) != due, Rank.REMINDERS)
        timer.cancel()

    def _send(self, due: Reminder) -> None:
        words = remind(self._state, due, workflow.now())
        kind = "escalated" if due.escalates else "reminded"
        members = members_of(self._state.spec, words.to or words.asks)
        self._journal.note(kind, words.text, gate=due.gate, attempt=due.attempt, to=list(words.to), **members)
        self._journal.tell(words.title, words.text, "warning" if due.escalates else "info", words.key, words.to)
        self._journal.show()
