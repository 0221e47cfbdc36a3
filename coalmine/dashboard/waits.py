"""What a rollout in the list waits for, for whom and until when: asked for the rows somebody sees, and kept a while."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from coalmine.cli import _words
from coalmine.dashboard.asking import unforeseen
from coalmine.errors import CoalmineError
from coalmine.records import Phase, RolloutStatus
from coalmine.rollouts import Releases
from coalmine.searching import RolloutRef, RolloutRow

WAITING = frozenset({Phase.GATED, Phase.HELD, Phase.BAKING, Phase.WINDOW})
"""Phases that end at a deadline, or when somebody says so."""
KEPT = 20.0
"""Seconds an answer counts while phase and weight stay as they are."""
AT_ONCE = 8
"""Questions under way at the same time."""


@dataclass(frozen=True)
class Wait:
    """What is waited for; empty text = nobody has to do anything."""

    text: str = ""
    deadline: datetime | None = None
    human: bool = False
    """A person is waited for."""


class Waits:
    """Answers by run, forgotten when the row shows another phase or weight."""

    def __init__(self, rollouts: Releases) -> None:
        self._rollouts = rollouts
        self._kept: dict[str, tuple[tuple[str, float], float, Wait]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    def known(self, row: RolloutRow) -> Wait | None:
        """What is known of a row; None: it is asked for."""
        if row.phase not in WAITING or not row.open:
            return Wait()
        kept = self._kept.get(row.run_id)
        return kept[2] if kept is not None and kept[0] == _key(row) else None

    async def learn(self, rows: Sequence[RolloutRow], within: float) -> None:
        """Ask for those rows whose answer is missing or old, at most this many seconds; what is late is left out."""
        now = asyncio.get_running_loop().time()
        due = [row for row in rows if row.phase in WAITING and row.open and self._is_due(row, now)]
        if not due:
            return
        try:
            async with asyncio.timeout(within):
                await asyncio.gather(*(self._ask(row) for row in due))
        except TimeoutError:
            pass
        if len(self._kept) > 4_000:
            self._kept = {run: kept for run, kept in self._kept.items() if now - kept[1] < KEPT}

    def _is_due(self, row: RolloutRow, now: float) -> bool:
        kept = self._kept.get(row.run_id)
        return kept is None or kept[0] != _key(row) or now - kept[1] > KEPT

    async def _ask(self, row: RolloutRow) -> None:
        async with self._slots:
            try:
                status = await self._rollouts.status(RolloutRef(row.workflow_id, row.run_id))
            except CoalmineError as error:
                wait = Wait(f"no answer: {error}" if error.retryable else str(error))
            except Exception as error:
                wait = Wait(unforeseen(error))
            else:
                wait = wait_of(status)
        self._kept[row.run_id] = (_key(row), asyncio.get_running_loop().time(), wait)


def wait_of(status: RolloutStatus) -> Wait:
    """What a rollout waits for now."""
    if status.phase is Phase.HELD:
        return Wait(f"a human: {status.held_reason}", status.deadline_at, human=True)
    if status.phase is Phase.GATED and status.gate is not None:
        return Wait(f"gate {_words.gate(status)}", status.deadline_at, human=status.gate.state == "waiting")
    if status.phase is Phase.BAKING:
        return Wait("the end of the bake", status.deadline_at)
    if status.phase is Phase.WINDOW:
        return Wait("the end of the rollback window", status.deadline_at)
    return Wait("", status.deadline_at)


def _key(row: RolloutRow) -> tuple[str, float]:
    return row.phase, row.canary_weight
