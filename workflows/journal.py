"""The record of a rollout: entries for the ledger, messages to people, search attributes and the page in the UI.

The workflow history is the record; the ledger is its copy, at least once, idempotent by (rollout id, sequence) (I4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine import console, details_page
    from coalmine.records import (
        NOTIFY,
        WRITE_LEDGER,
        Action,
        LedgerEntry,
        LedgerWrite,
        Notification,
        NotifyRequest,
        Refusal,
    )
    from coalmine.reminding import channels_for
    from coalmine.rollout import KEPT_DECISIONS, KEPT_REFUSALS, RolloutState
    from coalmine.search_attributes import ENVIRONMENT, OUTCOME, PHASE, SERVICE, VERSION, WEIGHT

from workflows.background import Rank, when
from workflows.calls import LEDGER, NOTICE, call
from workflows.counting import begin, count_entry
from workflows.interruption import failure_reason

ENTRIES_PER_WRITE = 200
"""Entries of one write: a payload has its limit, and after an outage there are many."""
LOOKS_PER_WRITE = 20
"""Looks that may wait before the ledger is written anyway."""
FLUSH_AT_END = timedelta(minutes=1)
"""How long a closing rollout waits for its ledger before it tells people and closes."""


class Journal:
    """Writes everything down. Its two background loops end with the workflow."""

    def __init__(self, state: RolloutState) -> None:
        self._state = state
        self._shown: tuple[str, str, int] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.keeps_decisions_urgent = False
        """A look that decided something is urgent until it is written, behind however many others it waits."""

    def start(self) -> None:
        """Begin to keep the ledger and to send messages."""
        begin(self._state)
        self._tasks = [asyncio.create_task(self._keep_ledger()), asyncio.create_task(self._send_messages())]

    async def stop(self) -> None:
        """End both loops; what they had not finished stays in the state."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    def note(
        self, kind: str, reason: str = "", by: str = "", *, details: dict[str, Any] | None = None, **data: Any
    ) -> None:
        """Record a decision or an event; it goes to the ledger at once. ``details`` are for the ledger only."""
        entry = self._entry(kind, reason, by, {**data, **(details or {})})
        self._append(entry, shown=entry.model_copy(update={"data": data}))
        self._state.urgent = True
        count_entry(self._state, kind)

    def note_look(self, reason: str, numbers: dict[str, Any], details: dict[str, Any], urgent: bool) -> None:
        """Record a look; its details (the very counts that were judged, each metric's effect) go to the ledger only."""
        entry = self._entry("look", reason, "", {**numbers, **details})
        self._append(entry, shown=entry.model_copy(update={"data": numbers}))
        self._state.urgent = self._state.urgent or urgent

    def refuse(self, verb: str, reason: str, by: str, given: str) -> None:
        """List a refused input with its reason: nothing people send vanishes."""
        refused = self._state.refused
        refused.append(Refusal(at=workflow.now(), verb=verb, reason=reason, by=by[:80], input=given[:200]))
        del refused[:-KEPT_REFUSALS]
        self.note("refused", reason, by[:80], verb=verb[:80], input=given[:200])
        self.show()

    def break_glass(self, gate: str, by: str, reason: str, *, verified: bool) -> None:
        """A gate was opened without its people: write it down, and tell everyone."""
        self.note("break_glass", reason, by, gate=gate, verified=verified)
        text = f"{by} opened gate '{gate}' without the people it asks for: {reason}"
        self.tell(f"{console.headline(self._state)}: glass broken", text, "critical", key=f"break-glass-{gate}")

    def tell(
        self,
        title: str,
        text: str = "",
        severity: Literal["info", "warning", "critical"] = "info",
        key: str = "",
        to: Sequence[str] = (),
    ) -> None:
        """Queue a message to people; it never holds the rollout up."""
        state = self._state
        state.outbox.append(
            Notification(
                title=title,
                text=text,
                severity=severity,
                rollout_id=state.rollout_id,
                workflow_id=state.workflow_id,
                phase=state.phase,
                outcome=state.outcome,
                key=f"{state.rollout_id}:{key or state.sequence}",
                to=list(to),
            )
        )

    def show(self) -> None:
        """Bring search attributes (an event, so only when they changed) and current details up to date."""
        state = self._state
        ended = "cancelled" if state.cancelled else ""
        shown = (str(state.phase), str(state.outcome or ended), round(state.canary_share()))
        if shown != self._shown:
            self._shown = shown
            updates: list[Any] = [PHASE.value_set(shown[0]), WEIGHT.value_set(shown[2])]
            updates += [SERVICE.value_set(state.spec.service), ENVIRONMENT.value_set(state.spec.environment)]
            updates.append(VERSION.value_set(state.spec.arms.canary.version))
            updates.append(OUTCOME.value_set(shown[1]) if shown[1] else OUTCOME.value_unset())
            workflow.upsert_search_attributes(updates)
        self.show_page()

    def show_page(self) -> None:
        """Bring current details up to date: no event, and no command."""
        workflow.set_current_details(details_page.page(self._state))

    async def flush(self) -> bool:
        """Wait, but not for ever, until the ledger has everything.

        Returns:
            Whether it has.
        """
        self._state.urgent = bool(self._state.backlog)
        return await self._within(FLUSH_AT_END, lambda: not self._state.backlog, "waiting for the ledger")

    async def deliver(self) -> None:
        """Give messages a moment to go out before the workflow ends."""
        await self._within(timedelta(seconds=15), lambda: not self._state.outbox, "waiting for messages to go out")

    async def _within(self, limit: timedelta, done: Any, summary: str) -> bool:
        if done():
            return True
        try:
            await workflow.wait_condition(done, timeout=limit, timeout_summary=summary)
        except TimeoutError:
            return False
        return True

    def _entry(self, kind: str, reason: str, by: str, data: dict[str, Any]) -> LedgerEntry:
        state = self._state
        state.sequence += 1
        return LedgerEntry(
            kind=kind,
            rollout_id=state.rollout_id,
            sequence=state.sequence,
            at=workflow.now(),
            reason=reason,
            by=by,
            phase=state.phase,
            data=data,
        )

    def _append(self, entry: LedgerEntry, shown: LedgerEntry | None) -> None:
        state = self._state
        state.put_by(entry)
        state.log.append(shown or entry)
        surplus = len(state.log) - KEPT_DECISIONS
        if surplus > 0:
            state.dropped += surplus
            del state.log[:surplus]

    async def _keep_ledger(self) -> None:
        state = self._state
        while True:
            await when(self._ledger_due, Rank.LEDGER)
            batch = state.backlog[:ENTRIES_PER_WRITE]
            await self._write(batch)
            written = {entry.sequence for entry in batch}
            state.backlog = [entry for entry in state.backlog if entry.sequence not in written]
            state.urgent = any(self._is_urgent(entry) for entry in state.backlog)

    def _is_urgent(self, entry: LedgerEntry) -> bool:
        decided = self.keeps_decisions_urgent and entry.data.get("action") not in (None, str(Action.CONTINUE))
        return entry.kind != "look" or decided

    def _ledger_due(self) -> bool:
        state = self._state
        if not state.backlog or not state.rollout_id:
            return False
        return state.urgent or len(state.backlog) >= LOOKS_PER_WRITE

    async def _write(self, batch: list[LedgerEntry]) -> None:
        spec, named = self._state.spec, self._state.rollout_id
        # Entries made before the fleet gave the rollout its number carry it from here on.
        entries = [entry if entry.rollout_id else entry.model_copy(update={"rollout_id": named}) for entry in batch]
        request = LedgerWrite(
            context=self._state.context(),
            entries=entries,
            ledger=spec.ledger,
            service=spec.service,
            environment=spec.environment,
            region=spec.region,
        )
        told = False
        while True:
            try:
                written = await call(WRITE_LEDGER, request, LEDGER, _which(batch))
                self._state.ledger_tip = written.tip or self._state.ledger_tip
                return
            except ActivityError as error:
                if not told:
                    reason = f"{named}: {failure_reason(error)}; advancing waits for it, a rollback does not."
                    self.tell("The ledger takes no entries", reason, "critical", key=f"ledger-{batch[0].sequence}")
                    told = True
                await workflow.sleep(30, summary="the ledger took nothing: try again")

    async def _send_messages(self) -> None:
        state = self._state
        while True:
            await when(lambda: bool(state.outbox), Rank.MESSAGES)
            message = state.outbox[0]
            try:
                await call(
                    NOTIFY,
                    NotifyRequest(
                        notification=message,
                        channels=channels_for(state.spec.notify, message.to),
                        context=state.context(),
                    ),
                    NOTICE,
                    f"tell: {message.title}",
                )
            except ActivityError as error:
                workflow.logger.warning(
                    "message not delivered", extra={"title": message.title, "why": str(error.cause)}
                )
                self.note("undelivered", f"'{message.title}' was not delivered: {error.cause}")
            state.outbox = state.outbox[1:]


def _which(batch: list[LedgerEntry]) -> str:
    """What a write holds, for the timeline."""
    kinds = ", ".join(dict.fromkeys(entry.kind for entry in batch))
    first, last = batch[0].sequence, batch[-1].sequence
    return (f"entries {first}–{last}: " if first != last else f"entry {first}: ") + kinds
