"""What becomes of a start while another version of the service is being rolled out: refused, in line, or in its place.

The spec that is sent decides (``promotion.when_busy``). What was accepted stays in the state until it starts, is
superseded by another that waits, or is withdrawn; whoever goes leaves a word. Pure: time comes in as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from coalmine.records import (
    Ended,
    Line,
    Outcome,
    Phase,
    Place,
    Submission,
    Verb,
    Waiting,
)
from coalmine.rollout import Order, RolloutState

LONGEST_LINE = 10
"""Versions that may wait: each brings its spec, and a state over 2 MB cannot be carried on."""
KEPT_ENDED = 20
"""Versions that are over and still named, for those who wait for their outcome."""


@dataclass(frozen=True)
class Answer:
    """What a submission of another version is told."""

    disposition: Literal["started", "queued", "rejected"]
    """``started``: it is next, and nothing but the end of the other is waited for."""
    reason: str
    position: int = 0
    """In line, from 1; 0 when it is rejected."""
    dropped: tuple[Ended, ...] = ()
    """Those that will not start now; ``line.ended`` has them too."""


def receive(state: RolloutState, submission: Submission, now: datetime) -> Answer:
    """Take a submission of another version than the one that runs, or refuse it; changes the line and the order."""
    running, wanted = state.spec.arms.canary.version, version_of(submission)
    policy = submission.spec.promotion.when_busy
    closes_window = state.phase is Phase.WINDOW and not state.line.waiting
    if policy == "reject" and not closes_window:
        return Answer("rejected", f"{running} is {state.phase}: one rollout at a time (when_busy: reject)")
    known = next((one for one in state.line.waiting if version_of(one.submission) == wanted), None)
    supersedes = policy == "supersede" or (known is not None and known.supersedes)
    dropped = _displaced(state.line, wanted, now) if policy == "supersede" else ()
    if known is None and len(state.line.waiting) - len(dropped) >= LONGEST_LINE:
        return Answer("rejected", f"{len(state.line.waiting)} versions wait for {running} already: try again later")
    entry = Waiting(submission=submission, at=now, supersedes=supersedes)
    state.line.waiting = _with(state.line.waiting, entry, {gone.version for gone in dropped})
    for gone in dropped:
        _note_end(state.line, gone)
    position = [version_of(one.submission) for one in state.line.waiting].index(wanted) + 1
    if closes_window:
        return Answer("started", f"the rollback window of {running} closes; {wanted} starts now", position)
    if policy == "supersede" and _may_be_superseded(state):
        state.order = Order(
            verb=Verb.ROLLBACK, by=submission.by, reason=f"{wanted} takes its place", ending=Outcome.SUPERSEDED
        )
        return Answer("started", f"{running} is rolled back first; {wanted} starts then", position, dropped)
    return Answer("queued", _why_waiting(state, wanted, position, supersedes), position, dropped)


def withdraw(state: RolloutState, version: str, by: str, reason: str, now: datetime) -> Ended | None:
    """Take a version out of the line; None when it does not wait."""
    found = next((one for one in state.line.waiting if version_of(one.submission) == version), None)
    if found is None:
        return None
    state.line.waiting = [one for one in state.line.waiting if one is not found]
    why = f"withdrawn by {by}" + (f": {reason}" if reason else "")
    gone = Ended(version=version, outcome=Outcome.REJECTED, exit=4, reason=why, at=now)
    _note_end(state.line, gone)
    return gone


def leave_line(state: RolloutState) -> Submission | None:
    """A rollout is over: who starts now, taken out of the line; the line keeps how this one ended."""
    if not state.line.waiting:
        return None
    ended = Ended(
        version=version_of(state.submission),
        outcome=state.outcome,
        cause=state.cause,
        # A cancelled rollout has no code of its own: a human took it back.
        exit=state.exit_code if state.exit_code is not None else 4,
        reason=state.reason,
        rollout_id=state.rollout_id,
        run_id=state.run_id,
        at=state.closed_at,
    )
    _note_end(state.line, ended)
    first, *state.line.waiting = state.line.waiting
    return first.submission.model_copy(update={"received": first.at}) if first.submission.token else first.submission


def join_older(state: RolloutState) -> None:
    """Take into the line who was next in a rollout that began before there was one."""
    if state.next_submission is not None:
        state.line.waiting.insert(0, Waiting(submission=state.next_submission))
        state.next_submission = None


def presses(state: RolloutState) -> Waiting | None:
    """The one that waits for nothing but all traffic to be safe where it is: the bake may end early for it."""
    first = state.line.waiting[0] if state.line.waiting else None
    return first if first is not None and first.supersedes else None


def places(line: Line) -> list[Place]:
    """The line as people see it."""
    return [
        Place(
            position=position,
            version=version_of(one.submission),
            by=one.submission.by,
            at=one.at,
            supersedes=one.supersedes,
        )
        for position, one in enumerate(line.waiting, 1)
    ]


def line_text(waiting: list[Place]) -> str:
    """``1.2.0 (by ana, supersedes), then 1.3.0 (by bo)``."""
    return ", then ".join(f"{one.version} (by {one.by}{', supersedes' if one.supersedes else ''})" for one in waiting)


def ordinal(number: int) -> str:
    """``1st`` ``2nd`` ``3rd`` ``4th``."""
    teen = 10 <= number % 100 <= 20
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def version_of(submission: Submission) -> str:
    """The version that a submission is to roll out."""
    return submission.spec.arms.canary.version


def _with(waiting: list[Waiting], entry: Waiting, dropped: set[str]) -> list[Waiting]:
    """The line with one more: a version that waits keeps its place, one that supersedes stands first."""
    wanted = version_of(entry.submission)
    rest = [one for one in waiting if version_of(one.submission) not in dropped]
    if entry.supersedes:
        return [entry, *(one for one in rest if version_of(one.submission) != wanted)]
    if any(version_of(one.submission) == wanted for one in rest):
        return [entry if version_of(one.submission) == wanted else one for one in rest]
    return [*rest, entry]


def _displaced(line: Line, wanted: str, now: datetime) -> tuple[Ended, ...]:
    return tuple(
        Ended(
            version=version_of(one.submission),
            outcome=Outcome.SUPERSEDED,
            exit=9,
            reason=f"superseded by {wanted} before it began",
            at=now,
        )
        for one in line.waiting
        if one.supersedes and version_of(one.submission) != wanted
    )


def _note_end(line: Line, ended: Ended) -> None:
    line.ended = [*line.ended, ended][-KEPT_ENDED:]


def _may_be_superseded(state: RolloutState) -> bool:
    """Traffic is still on the old version for the most part, and nobody ordered anything else."""
    waits = state.phase is Phase.PROMOTING and state.promotion_waits
    return (state.before_full or waits) and state.order is None


def _why_waiting(state: RolloutState, wanted: str, position: int, supersedes: bool) -> str:
    running = state.spec.arms.canary.version
    place = f"{ordinal(position)} in line"
    if supersedes and (state.stage_is_bake or state.phase is Phase.PROMOTING):
        return f"{place}: {running} has all traffic; {wanted} starts once the objectives of its bake pass"
    phase = str(state.phase).replace("_", " ")
    return f"{place}: {running} is {phase}; {wanted} starts when {'it is over' if position == 1 else 'its turn comes'}"
