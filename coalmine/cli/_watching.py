"""Following one rollout: a live page on a terminal, a line per change elsewhere, and the exit code at the end.

``start --wait`` has a bar in place of the page, and lines for stages only.
"""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from coalmine.cli import _errors, _words
from coalmine.cli._ci_files import CiFiles
from coalmine.cli._output import Output, let_go_of_the_gone, plain
from coalmine.cli._parser import Args
from coalmine.cli._terminal import redraws
from coalmine.client import Coalmine, RolloutRef, is_over
from coalmine.errors import TemporalUnavailable
from coalmine.records import Outcome, Phase, RolloutStatus

if TYPE_CHECKING:
    from coalmine.ci.summary import Past

View = Callable[[RolloutStatus], None]


class Watcher:
    """Watches one rollout; ``last`` is what it saw last, also after Ctrl-C."""

    def __init__(self, out: Output, args: Args, files: CiFiles) -> None:
        self.last: RolloutStatus | None = None
        self.link: str | None = None
        self.about = ""
        """The workflow, as far as it is known before a status tells."""
        self.starting = False
        """Its start was asked for and not answered: it may go on, or never have begun."""
        self._out = out
        self._timeout: timedelta | None = args.timeout
        self._live = redraws() and not out.is_json
        self._brief: bool = getattr(args, "wait", False)
        self._told_at = 0.0
        self._leave_when_held = (not sys.stdout.isatty()) if args.leave_when_held is None else args.leave_when_held
        self._asked: str = getattr(args, "rollout", "")
        self._seen: object = None
        self._version: str | None = None
        self._silent = False
        self._ci = files
        self._past: Past | None = None
        self._stopped = ""
        """Why the watching ended; a signal that comes after it ends no more than the drawing of the summary."""
        self._kept = False

    async def watch(self, coalmine: Coalmine, ref: RolloutRef, version: str | None = None) -> int:
        """Watch until the outcome, the time-out, or a hold; returns the exit code.

        ``version``: the release that is meant, when another one may still be closing.
        """
        self._version = version
        self.about, self.link = ref.workflow_id, coalmine.ui_link(ref.workflow_id, ref.run_id)
        stopped = "timeout"
        try:
            async with asyncio.timeout(self._timeout.total_seconds() if self._timeout else None):
                if self._live:
                    stopped = await self._watch_live(coalmine, ref)
                else:
                    stopped = await self._follow(coalmine, ref, self._print_change)
        except TimeoutError:
            pass
        self._stopped = stopped
        if self.last is not None:
            self._past = await self._ci.past(coalmine, self.last)
        return self.finish(stopped)

    async def _watch_live(self, coalmine: Coalmine, ref: RolloutRef) -> str:
        from coalmine.cli._page import live_page
        from coalmine.cli._progress import live_bar

        try:
            with live_bar() if self._brief else live_page(self.link) as show:
                return await self._follow(coalmine, ref, show)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            # The terminal is gone, and with it whoever watched; the cancellation that told so may be lost with it.
            return "detached"

    async def _follow(self, coalmine: Coalmine, ref: RolloutRef, show: View) -> str:
        async for seen in coalmine.follow(ref, version=self._version):
            if isinstance(seen, TemporalUnavailable):
                self._tell_silence(seen)
                continue
            self._silent = False
            self.last = seen
            show(seen)
            if is_over(seen):
                break
            if seen.phase is Phase.HELD and self._leave_when_held:
                return "held"
        return "over"

    def _tell_silence(self, error: TemporalUnavailable) -> None:
        if not self._silent:
            self._out.say(f"no answer: {error} (still watching)")
        self._silent = True

    def _print_change(self, status: RolloutStatus) -> None:
        if self._brief:
            from coalmine.cli._progress import SILENT_AT_MOST, line, stage

            at = asyncio.get_running_loop().time()
            if stage(status) == self._seen and at - self._told_at < SILENT_AT_MOST:
                return
            self._seen, self._told_at = stage(status), at
            self._print_line(status, line(status, datetime.now(UTC)))
        elif change_key(status) != self._seen:
            self._seen = change_key(status)
            self._print_line(status, _words.change_line(status))

    def _print_line(self, status: RolloutStatus, said: str) -> None:
        text = f"{datetime.now(UTC):%H:%M:%S}Z  {_words.versions(status)}: {said}"
        if self._out.form == "json":
            self._out.say(text)
        else:
            self._out.line(plain(status), text)

    def finish(self, stopped: str) -> int:
        """Say how the watching ended, print the data, and return the exit code; once, for a signal calls it again.

        ``stopped``: why it ended, unless it had before that.
        """
        stopped = self._stopped = self._stopped or stopped
        status, code = self.last, watch_exit(self.last, stopped)
        if self._kept:
            return code
        # First of all: whoever closed the terminal reads nothing more, and a pipeline goes by the files and the code.
        self._ci.watched(status, stopped, code, self.link, self._past, self.about)
        self._kept = True
        try:
            self._tell_end(stopped, code)
        except BrokenPipeError:
            raise
        except OSError:
            let_go_of_the_gone()
        return code

    def _tell_end(self, stopped: str, code: int) -> None:
        status = self.last
        if stopped in ("timeout", "held", "detached"):
            self._say_goes_on(stopped)
        data: dict[str, Any] = plain(status) if status is not None else {"outcome": None, "cause": None}
        data.update(stopped=stopped, url=self.link, exit=code)
        if self._out.is_json:
            self._out.data(data, "")
        elif status is not None and stopped == "over" and not self._live:
            self._out.data(data, "\n" + _words.page(status, datetime.now(UTC), self.link))

    def _say_goes_on(self, stopped: str) -> None:
        status = self.last
        named = status.workflow_id if status else self.about or self._asked
        why = {
            "timeout": "stopped watching: the time of --timeout is over",
            "held": "stopped watching: it is held and needs a human",
            "detached": "detached",
        }[stopped]
        if stopped == "held" and status is not None:
            why += f" ({status.held_reason})"
        goes_on = "It was being started, and may go on" if self.starting else "The rollout goes on"
        self._out.say(
            f"{why}. {goes_on}. Watch again: coalmine watch {named} · take it back: coalmine rollback {named}"
        )


def change_key(status: RolloutStatus) -> object:
    """What a line is printed for: it changes with everything a person would want to hear of."""
    return (
        status.phase, status.step, status.canary_weight, status.paused, status.held_reason, status.outcome,
        tuple((verdict.metric, verdict.verdict) for verdict in status.verdicts),
        status.gate and (status.gate.name, tuple(status.gate.approvals)), len(status.refused),
    )  # fmt: skip


def watch_exit(status: RolloutStatus | None, stopped: str) -> int:
    """The exit code of a watcher (docs/cli.md)."""
    if stopped == "detached":
        return _errors.DETACHED
    if status is None:
        return _errors.GOES_ON
    if is_over(status):
        return status.exit if status.exit is not None else (
            _errors.DONE if status.outcome in (Outcome.PROMOTED, None) else _errors.INTERNAL
        )  # fmt: skip
    return _errors.UNCONFIRMED if status.phase is Phase.ROLLING_BACK else _errors.GOES_ON
