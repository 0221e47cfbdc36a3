"""Following rollouts: one list each few seconds, and questions only about those that changed or wait for people."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from coalmine.chat.board import Board, Wall
from coalmine.chat.listed import as_listed
from coalmine.chat.memory import Kept
from coalmine.chat.reach import Reach
from coalmine.chat.settings import ChatSettings
from coalmine.client import RolloutRef, RolloutRow
from coalmine.errors import CoalmineError, RolloutNotFound, TemporalUnavailable
from coalmine.records import LedgerEntry, Phase, RolloutStatus
from coalmine.rollouts import Rollouts

MOST_LISTED = 2_500
"""Rollouts in one list: open ones, then the latest closed."""
CLOSED_LISTED = 200
"""Closed ones that are looked through in each round, after the first."""
AT_ONCE = 8
"""Questions that are under way at once."""
MOST_QUESTIONS = 40
"""In one round, besides those of rollouts that changed: with more open ones, each is asked about less often."""
_SINCE = "since"
_LOST = "lost "
"""Begins what stands for a run that no list shows."""
_log = logging.getLogger("coalmine.chat")
Run = tuple[str, str]


@dataclass
class _Seen:
    """One run, as the list showed it last."""

    row: tuple[object, ...]
    asked: float = 0.0
    status: RolloutStatus | None = None
    sequence: int = 0
    """Of the record as it was read last."""
    done: bool = False
    """It is closed, and what it came to was seen."""
    trouble: str = ""
    """Why it could not be read the last time."""


@dataclass
class Follower:
    """Keeps the boards of all rollouts that have a channel."""

    settings: ChatSettings
    reach: Reach
    wall: Wall
    every: float = 5.0
    """Seconds between two lists."""
    refresh: float = 15.0
    """Seconds until an open rollout is asked about again that did not change in the list: looks do not show there."""
    clock: Callable[[], float] = time.monotonic
    boards: dict[str, Board] = field(default_factory=dict)
    _runs: dict[Run, _Seen] = field(default_factory=dict)
    _open: dict[Run, RolloutRow] = field(default_factory=dict)
    """Those that are open, as they were listed last."""
    _poke: asyncio.Event = field(default_factory=asyncio.Event)
    _poked: set[str] = field(default_factory=set)
    _silent: bool = False
    caught_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once all that is open was asked about since the start."""
    _limit: int = MOST_LISTED
    _since: datetime | None = None

    def load(self) -> None:
        """Take up the messages of earlier processes."""
        for kept in self.wall.memory.boards():
            self.boards[kept.rollout_id] = Board(self.wall, kept)
        since = self.wall.memory.note(_SINCE)
        if not since:
            since = datetime.now(UTC).isoformat()
            self.wall.memory.set_note(_SINCE, since)
        self._since = datetime.fromisoformat(since)

    def look_at(self, workflow_id: str) -> None:
        """Ask about this one at once: somebody said something to it."""
        self._poked.add(workflow_id)
        self._poke.set()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self.once()
                if self._silent:
                    _log.info("rollouts answer again")
                self._silent = False
            except CoalmineError as error:
                if not self._silent:
                    _log.warning("rollouts cannot be followed now: %s", error)
                self._silent = True
            except Exception:
                _log.exception("one round of following failed")
            try:
                async with asyncio.timeout(self.every):
                    await self._poke.wait()
            except TimeoutError:
                pass
            self._poke.clear()

    async def once(self) -> None:
        """One round.

        Raises:
            TemporalUnavailable: there is no list.
        """
        rollouts = await self.reach()
        # One list, not one of the open and one of the closed: only beside its next run can be told that a run went on.
        rows = await rollouts.rollouts(limit=self._limit)
        self._limit = min(sum(row.open for row in rows) + CLOSED_LISTED, MOST_LISTED)
        poked, self._poked = self._poked, set()
        present = {(row.workflow_id, row.run_id) for row in rows}
        self._open = {(row.workflow_id, row.run_id): row for row in rows if row.open}
        gone = [run for run, seen in self._runs.items() if run not in present and (seen.done or not _is_lost(run))]
        for run in gone:
            del self._runs[run]
        limit = asyncio.Semaphore(AT_ONCE)

        taken = {row.workflow_id for row in rows if row.open}

        async def ask(row: RolloutRow) -> None:
            async with limit:
                await self._ask(rollouts, row, overtaken=not row.open and row.workflow_id in taken)

        await asyncio.gather(*(ask(row) for row in self._worth_asking(rows, poked)))
        await self._find_lost(rollouts, rows)
        self.caught_up.set()

    def _worth_asking(self, rows: Iterable[RolloutRow], poked: set[str]) -> list[RolloutRow]:
        now = self.clock()
        changed: list[RolloutRow] = []
        due: list[tuple[float, RolloutRow]] = []
        for row in rows:
            if self.settings.channel_of(row.environment, row.service, row.region) is None:
                continue
            seen, shown = self._runs.get((row.workflow_id, row.run_id)), _shown(row)
            if seen is None and not row.open and self._is_old(row):
                self._runs[row.workflow_id, row.run_id] = _Seen(shown, done=True)
            elif seen is None or seen.row != shown or (row.open and row.workflow_id in poked):
                self._runs[row.workflow_id, row.run_id] = seen or _Seen(())
                changed.append(row)
            elif not seen.done:
                waits = seen.status is not None and seen.status.phase in (Phase.GATED, Phase.HELD, Phase.ROLLING_BACK)
                if now - seen.asked >= (self.every if waits else self.refresh) * 0.9 or not row.open:
                    due.append((seen.asked, row))
        due.sort(key=lambda pair: pair[0])
        return changed + [row for _, row in due[:MOST_QUESTIONS]]

    def _is_old(self, row: RolloutRow) -> bool:
        """It closed before anybody asked for messages, and has none to finish."""
        known = any(board.kept.run_id == row.run_id and not board.kept.closed for board in self.boards.values())
        return not known and (row.closed_at is None or self._since is None or row.closed_at < self._since)

    async def _ask(self, rollouts: Rollouts, row: RolloutRow, overtaken: bool) -> None:
        """Ask about one. ``overtaken``: the next rollout of its service runs under its workflow's id."""
        seen = self._runs[row.workflow_id, row.run_id]
        ref = RolloutRef(row.workflow_id, row.run_id)
        seen.asked = self.clock()
        try:
            status = await rollouts.status(ref)
            entries = await self._record(rollouts, ref, seen, status)
        except Exception as error:
            # It is asked again in the next round; the others go on.
            self._cannot_ask(seen, row, error)
            return
        seen.trouble = ""
        if overtaken and status.phase is not Phase.CLOSED:
            over: dict[str, Any] = {
                "phase": Phase.CLOSED,
                "can_send": [],
                "gate": None,
                "unmet": [],
                "deadline_at": None,
            }
            status = status.model_copy(update=over)
        seen.row, seen.status = _shown(row), status
        seen.done = status.phase is Phase.CLOSED
        self.show(rollouts, status, entries)

    def _cannot_ask(self, seen: _Seen, row: RolloutRow, error: Exception) -> None:
        """Say on its board why this one cannot be read; that Temporal is silent is said of none, since it is of all."""
        silent = isinstance(error, TemporalUnavailable) and not row.paused_in_temporal
        why = str(error)
        if not isinstance(error, CoalmineError):
            why = f"its state cannot be read ({type(error).__name__}); the log of the chat app tells more"
        if why != seen.trouble and not isinstance(error, CoalmineError):
            _log.error("%s cannot be read", row.workflow_id, exc_info=error)
        else:
            _log.info("%s: %s", row.workflow_id, why)
        seen.trouble = why
        if silent:
            return
        seen.row = _shown(row)
        for board in self.boards.values():
            if board.kept.workflow_id == row.workflow_id and board.kept.run_id == row.run_id:
                board.see_trouble(why)

    async def _record(
        self, rollouts: Rollouts, ref: RolloutRef, seen: _Seen, status: RolloutStatus
    ) -> list[LedgerEntry] | None:
        """The record, when it may have grown; None when it has not."""
        if status.sequence and status.sequence == seen.sequence:
            return None
        log = await rollouts.decisions(ref)
        seen.sequence = status.sequence
        return log.entries

    def show(self, rollouts: Rollouts, status: RolloutStatus, entries: list[LedgerEntry] | None) -> None:
        """Put a status on its board; makes the board when the rollout has a name."""
        rollout_id = status.rollout_id
        if not rollout_id:
            if status.phase is not Phase.CLOSED:
                return  # Its name is what admission gives it.
            rollout_id = f"{status.workflow_id}@{status.run_id}"
        board = self.boards.get(rollout_id)
        if board is None:
            channel = self.settings.channel_of(status.environment, status.service, status.region)
            if channel is None:
                return
            board = Board(self.wall, Kept(rollout_id, status.workflow_id, status.run_id, channel))
            self.boards[rollout_id] = board
            self.wall.memory.keep(board.kept)
        if board.kept.closed:
            return
        board.link = rollouts.ui_link(status.workflow_id, status.run_id or None)
        board.see(status, entries)

    async def _find_lost(self, rollouts: Rollouts, rows: Iterable[RolloutRow]) -> None:
        """Boards whose rollout is in no list any more: closed and forgotten while nobody followed, or terminated."""
        listed = {row.run_id for row in rows} | {run for _, run in self._runs}
        now = self.clock()
        for board in list(self.boards.values()):
            kept = board.kept
            run = (kept.workflow_id, f"{_LOST}{kept.rollout_id}")
            seen = self._runs.setdefault(run, _Seen(())) if not kept.closed and kept.run_id not in listed else None
            if seen is None or (seen.asked and now - seen.asked < 60):
                continue
            seen.asked = now
            try:
                ref = await rollouts.find(kept.rollout_id, kept.rollout_id.partition("/")[0])
                self.show(rollouts, await rollouts.status(ref), (await rollouts.decisions(ref)).entries)
            except RolloutNotFound:
                _log.info("%s is known no more: its message stays as it is", kept.rollout_id)
                kept.closed = seen.done = True
                self.wall.memory.keep(kept)
            except CoalmineError as error:
                _log.info("%s: %s", kept.rollout_id, error)
            except Exception:
                _log.exception("%s cannot be read", kept.rollout_id)

    def open_statuses(self) -> list[RolloutStatus]:
        """What is known of those that are open; one that never answered is as the list has it, and says why."""
        found = []
        for run, seen in self._runs.items():
            if seen.status is None and run in self._open and seen.trouble:
                found.append(as_listed(self._open[run], seen.trouble))
            elif seen.status is not None and seen.status.phase is not Phase.CLOSED:
                found.append(seen.status)
        return found

    def status_of(self, workflow_id: str) -> RolloutStatus | None:
        """The newest status of a workflow, without asking; None: not known."""
        known = [seen for (workflow, _), seen in self._runs.items() if workflow == workflow_id and seen.status]
        return max(known, key=lambda seen: (not seen.done, seen.asked)).status if known else None


def _is_lost(run: Run) -> bool:
    return run[1].startswith(_LOST)


def _shown(row: RolloutRow) -> tuple[object, ...]:
    return row.phase, row.outcome, row.canary_weight, row.open, row.version, row.paused_in_temporal
