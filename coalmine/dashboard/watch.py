"""One rollout that somebody looks at: its status every second, its decisions and looks when they changed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from coalmine.dashboard.asking import EVERY, Asker, Trouble, unforeseen
from coalmine.dashboard.broadcast import Broadcast
from coalmine.errors import CoalmineError
from coalmine.recorded import Judgement, Recorded
from coalmine.records import DecisionLog, Phase, RolloutStatus
from coalmine.rollouts import Releases
from coalmine.searching import RolloutRef

CLOSED_EVERY = 15.0
"""Seconds between two looks at one that is closed: only the next rollout of its service changes what is shown."""

PAST_WITHIN = 3.0
"""Seconds a page that is opened waits for all earlier looks: a long history has thousands of events."""
LATE = f"it takes longer than {PAST_WITHIN:g} s; they come with the next update"


@dataclass(frozen=True)
class Seen:
    """What is known of a rollout; ``status`` is None before the first answer."""

    status: RolloutStatus | None = None
    log: DecisionLog = field(default_factory=DecisionLog)
    past: Recorded = field(default_factory=Recorded)
    trouble: Trouble | None = None
    """Nobody answers for it now: what is shown is older."""
    refused: CoalmineError | None = None
    """There is no such rollout, or what it says cannot be read."""
    past_trouble: str = ""
    """Why its looks and shifts could not be read."""


async def see(rollouts: Releases, ref: RolloutRef) -> Seen:
    """Everything at once, for a page that is opened.

    Raises:
        CoalmineError: there is no such rollout, or nobody answers for it.
    """
    status, log = await asyncio.gather(rollouts.status(ref), rollouts.decisions(ref))
    past, trouble = Recorded(), ""
    try:
        async with asyncio.timeout(PAST_WITHIN):
            past = await rollouts.recorded(ref)
            trouble = past.missing
    except TimeoutError:
        trouble = LATE
    except CoalmineError as error:
        trouble = str(error)
    except Exception as error:
        trouble = unforeseen(error)
    return Seen(status, log, past, past_trouble=trouble)


async def as_listed(rollouts: Releases, ref: RolloutRef) -> RolloutStatus | None:
    """An open rollout as its search attributes show it, which needs no worker; None: it is not open.

    Raises:
        TemporalUnavailable: the server does not answer either.
    """
    for row in await rollouts.rollouts(workflow_ids=[ref.workflow_id], running=True):
        if ref.run_id in (None, row.run_id):
            return RolloutStatus(
                phase=Phase(row.phase) if row.phase in set(Phase) else Phase.ADMITTING,
                service=row.service,
                environment=row.environment,
                region=row.region,
                version=row.version,
                canary_weight=row.canary_weight,
                workflow_id=row.workflow_id,
                run_id=row.run_id,
            )
    return None


class Watch:
    """Asks until ``stop``; what it finds is in ``seen``."""

    def __init__(self, rollouts: Releases, ref: RolloutRef, every: float = EVERY) -> None:
        self.viewers = 0
        self._rollouts = rollouts
        self._ref = ref
        self._asker = Asker(every)
        self._hurry = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._behind = False
        """Something came that the reading under way may not have met."""
        self.seen: Broadcast[Seen] = Broadcast(Seen())
        self._task = asyncio.create_task(self._keep())

    def stop(self) -> asyncio.Task[None]:
        """End it."""
        self._task.cancel()
        return self._task

    def hurry(self) -> None:
        """Ask at once."""
        self._hurry.set()

    async def _keep(self) -> None:
        try:
            await self._follow()
        finally:
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.gather(self._reading, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            try:
                await self._look()
            except CoalmineError as error:
                self.seen.say(replace(self.seen.value, refused=error))
                return
            status = self.seen.value.status
            closed = status is not None and status.phase is Phase.CLOSED
            self._hurry.clear()
            try:
                async with asyncio.timeout(CLOSED_EVERY if closed else None):
                    await self._pause()
            except TimeoutError:
                continue

    async def _pause(self) -> None:
        status = self.seen.value.status
        if status is not None and status.phase is Phase.CLOSED:
            await self._hurry.wait()
            return
        pause, hurried = asyncio.ensure_future(self._asker.pause()), asyncio.ensure_future(self._hurry.wait())
        try:
            await asyncio.wait({pause, hurried}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            hurried.cancel()

    async def _look(self) -> None:
        before = self.seen.value
        status = await self._asker.ask(lambda: self._rollouts.status(self._ref))
        if status is None:
            if before.trouble != self._asker.trouble:
                self.seen.say(replace(self.seen.value, trouble=self._asker.trouble))
            return
        if before.status == status and before.trouble is None:
            return
        log = before.log
        if before.status is None or _key(before.status) != _key(status):
            log = await self._asker.ask(lambda: self._rollouts.decisions(self._ref)) or log
        late = False
        if before.status is None:
            # Waited for as by the page that was opened: what that shows already is not taken away.
            _, reading = await asyncio.wait({self._read_beside()}, timeout=PAST_WITHIN)
            late = bool(reading)
        elif _moved(before.status, status) or _skipped(before.past, status):
            self._read_beside()
        past, trouble = self.seen.value.past, LATE if late else self.seen.value.past_trouble
        if status.verdicts and past.looks and past.looks[-1].look + 1 == status.looks:
            look = Judgement(look=status.looks, at=datetime.now(UTC), verdicts=status.verdicts)
            past, self._behind = past.model_copy(update={"looks": [*past.looks, look]}), True
        self.seen.say(Seen(status, log, past, self._asker.trouble, past_trouble=trouble))

    def _read_beside(self) -> asyncio.Task[None]:
        """Read all looks and shifts, which takes seconds of a long history: what changed is said before."""
        self._behind = True
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        return self._reading

    async def _read(self) -> None:
        while self._behind:
            self._behind, found = False, self.seen.value
            try:
                past = await self._rollouts.recorded(self._ref)
                trouble = past.missing
            except CoalmineError as error:
                past, trouble = found.past, str(error)
            except Exception as error:
                past, trouble = found.past, unforeseen(error)
            found = replace(self.seen.value, past=past, past_trouble=trouble)
            if found.status is None:
                self.seen.value = found  # Said with its status.
            else:
                self.seen.say(found)


def _moved(before: RolloutStatus, now: RolloutStatus) -> bool:
    """Whether traffic was shifted, or another run goes on."""
    return (before.run_id, before.generation, before.phase) != (now.run_id, now.generation, now.phase)


def _skipped(past: Recorded, status: RolloutStatus) -> bool:
    """Whether looks were missed between two questions."""
    return status.looks > (past.looks[-1].look if past.looks else 0) + 1


def _key(status: RolloutStatus) -> tuple[object, ...]:
    """What comes with a decision."""
    gate = status.gate
    return (
        status.rollout_id, status.phase, status.outcome, status.step, status.looks, status.generation, status.paused,
        status.held_reason, status.refused, gate and (gate.name, gate.attempt, gate.approvals), status.deadline_at,
        status.step_ends_at, status.restore_tries, status.diagnosis,
    )  # fmt: skip
