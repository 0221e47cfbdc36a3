"""Following several rollouts that are named, until each has its outcome: a row each, or a line per change."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

from coalmine.cli import _errors, _words
from coalmine.cli._fleet_page import Seen, live_fleet, of_status
from coalmine.cli._output import Output, plain
from coalmine.cli._parser import Args
from coalmine.cli._terminal import redraws
from coalmine.cli._watching import change_key, watch_exit
from coalmine.client import Coalmine, RolloutRef, is_over
from coalmine.errors import TemporalUnavailable
from coalmine.records import Phase, RolloutStatus

DRAWN_EVERY = 0.5
"""Seconds between two drawings of the page."""
GRAVEST = (
    _errors.INTERNAL, _errors.UNCONFIRMED, 3, 4, _errors.BLOCKED, 9, _errors.GOES_ON, _errors.DONE,
)  # fmt: skip
"""The exit code of several is the first of these that one of them has."""


class SeveralWatcher:
    """Watches rollouts by name; ``seen`` is what each showed last, also after Ctrl-C."""

    def __init__(self, out: Output, args: Args) -> None:
        self.seen: dict[str, RolloutStatus | None] = {}
        self._out, self._args = out, args
        self._live = redraws() and not out.is_json
        self._leave_when_held = (not sys.stdout.isatty()) if args.leave_when_held is None else args.leave_when_held
        self._keys: dict[str, object] = {}
        self._stopped: dict[str, str] = {}
        self._note = ""

    async def watch(self, coalmine: Coalmine) -> int:
        """Watch until each is over, held, or the time-out is; returns the gravest exit code."""
        refs = [await coalmine.find(name, self._args.environment, self._args.region) for name in self._args.rollouts]
        # Two names of one rollout are one; the order stays.
        refs = list(dict.fromkeys(refs))
        timeout = self._args.timeout
        following = [asyncio.create_task(self._follow(coalmine, ref)) for ref in refs]
        tasks = [*following, asyncio.create_task(self._draw())]
        try:
            async with asyncio.timeout(timeout.total_seconds() if timeout else None):
                await asyncio.gather(*following)
        except TimeoutError:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self.finish("timeout")

    async def _draw(self) -> None:
        if not self._live:
            return
        with live_fleet() as show:
            try:
                while True:
                    show(self._page(), self._note)
                    await asyncio.sleep(DRAWN_EVERY)
            finally:
                # How they ended stays on the screen.
                show(self._page(), self._note)

    def _page(self) -> list[Seen]:
        return [of_status(one) for one in self.seen.values() if one is not None]

    async def _follow(self, coalmine: Coalmine, ref: RolloutRef) -> None:
        name = ref.workflow_id if ref.run_id is None else f"{ref.workflow_id} {ref.run_id}"
        self.seen.setdefault(name, None)
        async for seen in coalmine.follow(ref):
            if isinstance(seen, TemporalUnavailable):
                if not self._note:
                    self._note = f"no answer: {seen} (still watching)"
                    if not self._live:
                        self._out.say(self._note)
                continue
            self._note = ""
            self.seen[name] = seen
            if not self._live and change_key(seen) != self._keys.get(name):
                self._keys[name] = change_key(seen)
                self._tell(seen)
            if is_over(seen):
                self._stopped[name] = "over"
                return
            if seen.phase is Phase.HELD and self._leave_when_held:
                self._stopped[name] = "held"
                return

    def _tell(self, status: RolloutStatus) -> None:
        text = f"{datetime.now(UTC):%H:%M:%S}Z  {_words.versions(status)} in {_words.place(status)}: "
        text += _words.change_line(status)
        if self._out.form == "json":
            self._out.say(text)
        else:
            self._out.line(plain(status), text)

    def finish(self, otherwise: str) -> int:
        """Say how each ended, and return the gravest exit code; ``otherwise``: why those that go on are left."""
        told: list[dict[str, Any]] = []
        codes: list[int] = []
        for name, status in self.seen.items():
            stopped = self._stopped.get(name, otherwise)
            codes.append(watch_exit(status, stopped))
            data = plain(status) if status is not None else {"workflow_id": name, "outcome": None, "cause": None}
            told.append({**data, "stopped": stopped, "exit": codes[-1]})
        code = _errors.DETACHED if otherwise == "detached" else next(one for one in GRAVEST if one in (*codes, 0))
        if self._out.is_json:
            self._out.data({"rollouts": told, "stopped": "detached" if code == 130 else "over", "exit": code}, "")
        left = [one["workflow_id"] for one in told if one["stopped"] != "over"]
        if left:
            why = "detached" if otherwise == "detached" else "stopped watching"
            self._out.say(f"{why}. These go on: {', '.join(left)}. Watch again: coalmine watch {' '.join(left)}")
        return code
