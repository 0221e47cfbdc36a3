"""``--summary`` and ``--outputs``: what a CI job keeps of a rollout, appended to the files its system names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.ci.summary import Past
    from coalmine.cli._output import Output
    from coalmine.client import Coalmine
    from coalmine.records import Receipt, RolloutStatus

DRAWN_WITHIN = 30.0
"""Seconds each answer may take that a summary is drawn from; --timeout is over by then, and a job must end."""


def ci_options(parser: Parser) -> None:
    """The two files."""
    parser.add_argument(
        "--summary",
        metavar="FILE",
        help="append a Markdown summary with verdicts and a timeline when it ends, such as $GITHUB_STEP_SUMMARY",
    )
    parser.add_argument(
        "--outputs",
        metavar="FILE",
        help="append outcome, exit, rollout_id ... as name=value lines when it ends, such as $GITHUB_OUTPUT",
    )


class CiFiles:
    """The files that were asked for; none is fine."""

    def __init__(self, args: Args, out: Output) -> None:
        """Open them once, so that a wrong name is told before anything has started.

        Raises:
            InputError: one cannot be written.
        """
        self._out = out
        self._summary: str | None = args.summary
        self._outputs: str | None = args.outputs
        for option, file in (("--summary", self._summary), ("--outputs", self._outputs)):
            if file is not None:
                _append(option, file, "")

    @contextmanager
    def telling_failures(self) -> Iterator[None]:
        """Write the exit code and the reason of an error of the block, and let it go on its way."""
        from coalmine.ci.outputs import as_lines, failure_outputs
        from coalmine.ci.summary import failure_summary
        from coalmine.cli import _errors

        try:
            yield
        except BrokenPipeError:
            raise  # Of whoever read what is said here, not of the rollout.
        except Exception as error:
            why, code = _errors.line(error).removeprefix("error: "), _errors.exit_code(error)
            if self._outputs is not None:
                self._keep("--outputs", self._outputs, as_lines(failure_outputs(code, why)))
            if self._summary is not None:
                self._keep("--summary", self._summary, failure_summary(why))
            raise

    async def past(self, coalmine: Coalmine, status: RolloutStatus) -> Past | None:
        """What the summary draws; None when there is no summary, parts of it when nobody answers in time.

        The weights are Temporal's own history: the query ``decisions`` has no more than the newest entries.
        """
        import asyncio

        from coalmine.ci.summary import Past
        from coalmine.client import RolloutRef
        from coalmine.recorded import Recorded
        from coalmine.records import DecisionLog

        if self._summary is None:
            return None
        ref = RolloutRef(status.workflow_id, status.run_id or None)
        log, recorded = DecisionLog(), Recorded()
        # How it ended is known: whatever goes wrong with a drawing must not change the exit code.
        with suppress(Exception):
            async with asyncio.timeout(DRAWN_WITHIN):
                log = await coalmine.decisions(ref)
        with suppress(Exception):
            # Of pages of a history the SDK asks without an end.
            async with asyncio.timeout(DRAWN_WITHIN):
                recorded = await coalmine.recorded(ref)
        return Past(recorded.shares(), log.entries, log.dropped, recorded.missing)

    def watched(
        self,
        status: RolloutStatus | None,
        stopped: str,
        code: int,
        link: str | None,
        past: Past | None,
        about: str = "",
    ) -> None:
        """Write what a watcher saw last; a file that cannot be written any more is told, and changes no exit code.

        ``about``: the workflow, where nothing was seen.
        """
        from coalmine.ci.outputs import as_lines, job_outputs
        from coalmine.ci.summary import Past, job_summary

        if self._outputs is not None:
            self._keep("--outputs", self._outputs, as_lines(job_outputs(status, stopped, code, link, about)))
        if self._summary is not None and status is not None:
            self._keep("--summary", self._summary, job_summary(status, past or Past(), link, datetime.now(UTC)))

    def started(self, receipt: Receipt, outcome: str | None, code: int | None, link: str | None, text: str) -> None:
        """Write what became of a start that nobody watches; told as by ``watched``."""
        from coalmine.ci.outputs import as_lines, start_outputs

        if self._outputs is not None:
            self._keep("--outputs", self._outputs, as_lines(start_outputs(receipt, outcome, code, link)))
        if self._summary is not None:
            self._keep("--summary", self._summary, f"```\n{text}\n```\n")

    def _keep(self, option: str, file: str, text: str) -> None:
        from coalmine.errors import InputError

        try:
            _append(option, file, text)
        except InputError as error:
            # The verdict is decided: a disk that is full must not turn harm into a wrong use.
            self._out.say(f"warning: {error}")


def _append(option: str, file: str, text: str) -> None:
    from coalmine.errors import InputError

    try:
        with Path(file).open("a", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise InputError(
            f"{option}: {file} cannot be written: {error.strerror or error}; name a file in a folder that is there"
        ) from None
