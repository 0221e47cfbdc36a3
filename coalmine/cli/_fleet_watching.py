"""Following a fleet: every rollout that matches, those that appear and those that close, until somebody detaches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from coalmine.cli import _errors
from coalmine.cli._fleet_page import Seen, live_fleet, of_row, what_is_missing
from coalmine.cli._output import Output
from coalmine.cli._terminal import redraws
from coalmine.client import Coalmine, RolloutRef, RolloutRow
from coalmine.errors import CoalmineError, TemporalUnavailable

EVERY = 1.0
"""Seconds between two lists."""
ASK_AGAIN = 5.0
"""Seconds after which a rollout that waits is asked anew what it waits for."""
JUST_CLOSED = 100
"""Rows that are asked for beyond those that are watched: among them are those that closed since the last list."""
ASKED_AT_ONCE = 10
"""Rollouts that are asked beside each other: a fleet that stands still must not be a load on its workers."""
_WAITING = ("held", "gated", "rolling_back")

Change = Literal["there", "appeared", "changed", "closed"]


class FleetWatcher:
    """Watches what a list shows; ``rows`` is what it showed last, also after Ctrl-C."""

    def __init__(
        self,
        out: Output,
        list_now: Callable[[Coalmine, int], Any],
        timeout: timedelta | None,
        again: str,
        *,
        most: int,
        open_only: bool = False,
    ) -> None:
        """
        Args:
            out: Where lines go.
            list_now: Asks for so many rows, open and closed, open ones first.
            timeout: When to stop watching.
            again: The command that watches again.
            most: Rows that are watched.
            open_only: Of closed ones only those that were open a moment ago are told, once.
        """
        self.rows: list[Seen] = []
        self._out, self._list, self._timeout, self._again = out, list_now, timeout, again
        self._live = redraws() and not out.is_json
        self._known: dict[tuple[str, str], Seen] = {}
        self._needs: dict[str, tuple[float, str]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(ASKED_AT_ONCE)
        self._first = True
        self._note = ""
        self._most, self._open_only, self._cut = most, open_only, ""

    async def watch(self, coalmine: Coalmine) -> int:
        """Watch until the time-out; Ctrl-C interrupts it."""
        try:
            async with asyncio.timeout(self._timeout.total_seconds() if self._timeout else None):
                with live_fleet() if self._live else nullcontext(self._nothing) as show:
                    while True:
                        await self._look(coalmine)
                        show(self.rows, self._note or self._cut)
                        await asyncio.sleep(EVERY)
        except TimeoutError:
            return self.finish("timeout")
        finally:
            for task in self._asking.values():
                task.cancel()

    def finish(self, stopped: Literal["timeout", "detached"]) -> int:
        """Say how the watching ended, and return the exit code."""
        code = _errors.DETACHED if stopped == "detached" else _errors.GOES_ON
        if self._out.form == "json":
            self._out.data({"rollouts": [row.data for row in self.rows], "stopped": stopped, "exit": code}, "")
        why = "detached" if stopped == "detached" else "stopped watching: the time of --timeout is over"
        self._out.say(f"{why}. The rollouts go on. Watch again: {self._again}")
        return code

    @staticmethod
    def _nothing(rows: Sequence[Seen], note: str) -> None:
        return None

    async def _look(self, coalmine: Coalmine) -> None:
        try:
            rows = self._kept(await self._list(coalmine, self._most + JUST_CLOSED))
        except TemporalUnavailable as error:
            if not self._note:
                self._note = f"no answer: {error} (still watching)"
                if not self._live:
                    self._out.say(self._note)
            return
        self._note = ""
        self._ask_those_that_wait(coalmine, rows)
        seen = {(row.workflow_id, row.run_id): of_row(row, self._needs.get(row.run_id, (0, ""))[1]) for row in rows}
        self.rows = list(seen.values())
        if not self._live:
            for change, one in changes(self._known, seen, self._first):
                self._tell(change, one)
        self._known, self._first = seen, False

    def _kept(self, rows: Sequence[RolloutRow]) -> list[RolloutRow]:
        """Those that are watched; says so when there are more."""
        wanted = [row for row in rows if row.open] if self._open_only else list(rows)
        was_cut, self._cut = self._cut, ""
        if len(wanted) > self._most:
            self._cut = f"there are more than {self._most}: only the first are watched; list --watch --limit takes more"
            if not was_cut and not self._live:
                self._out.say(self._cut)
        ended: list[RolloutRow] = []
        if self._open_only:
            were = {key for key, one in self._known.items() if one.open}
            ended = [row for row in rows if not row.open and (row.workflow_id, row.run_id) in were]
        return wanted[: self._most] + ended

    def _tell(self, change: Change, one: Seen) -> None:
        mark = {"there": "", "appeared": "new: ", "changed": "", "closed": "closed: "}[change]
        text = f"{datetime.now(UTC):%H:%M:%S}Z  {mark}{one.line()}"
        if self._out.form == "json":
            self._out.say(text)
        else:
            self._out.line({"change": change, "at": datetime.now(UTC).isoformat(), "rollout": one.data}, text)

    def _ask_those_that_wait(self, coalmine: Coalmine, rows: Sequence[RolloutRow]) -> None:
        """Beside the list: a worker that does not answer must not keep the page from being drawn."""
        now = asyncio.get_running_loop().time()
        waiting = {row.run_id: row for row in rows if row.open and row.phase in _WAITING}
        self._needs = {run: told for run, told in self._needs.items() if run in waiting}
        for run, row in waiting.items():
            task = self._asking.get(run)
            if (task is None or task.done()) and now - self._needs.get(run, (-ASK_AGAIN, ""))[0] >= ASK_AGAIN:
                self._asking[run] = asyncio.create_task(self._ask(coalmine, row))

    async def _ask(self, coalmine: Coalmine, row: RolloutRow) -> None:
        async with self._turn:
            try:
                told = what_is_missing(await coalmine.status(RolloutRef(row.workflow_id, row.run_id)))
            except CoalmineError:
                told = "nobody answers for it: is a worker running?"
        self._needs[row.run_id] = (asyncio.get_running_loop().time(), told)


def changes(
    before: Mapping[tuple[str, str], Seen], now: Mapping[tuple[str, str], Seen], first: bool
) -> list[tuple[Change, Seen]]:
    """What is different between two lists, by workflow and run.

    A run that is not listed any more while another of the same workflow and version is new went on as that one.
    """
    gone = {(key[0], one.version): one for key, one in before.items() if key not in now}
    found: list[tuple[Change, Seen]] = []
    for key, one in now.items():
        earlier = before.get(key) or gone.get((key[0], one.version))
        if earlier is None:
            found.append(("there" if first else "appeared", one))
        elif earlier.open and not one.open:
            found.append(("closed", one))
        elif not earlier.same_as(one):
            found.append(("changed", one))
    return found
