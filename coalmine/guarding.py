"""What the traffic guard decides: is a route at rest and right, whom to tell, when to restore. Pure.

A person hears of a finding once, not at each look. What is broken again and again is restored a few times and then left
to people: somebody else writes the route too, and two who fight over it are worse than one who is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from coalmine.guard_telling import name_of, note, tell
from coalmine.ownership import TOLERANCE, drift_of, weights_text
from coalmine.records import (
    GuardState,
    GuardStatus,
    OpenFinding,
    RouteFinding,
    RouteState,
    Survey,
    Watched,
)
from coalmine.spec.durations import format_duration
from coalmine.stuck import KEPT_STUCK, take_in_stuck

MOST_RESTORES = 3
"""Times a route is put back after one rollout within ``RESTORES_WITHIN`` before it is left to people."""
RESTORES_WITHIN = timedelta(hours=1)
KEPT_ROUTES = 500
"""Routes the guard remembers, the latest closed first."""
CUT = "there are more rollouts than are looked at: the oldest were left out"


def worth_telling(new: Sequence[Watched], findings: Sequence[RouteFinding]) -> list[Watched]:
    """Of the routes that are new to the guard as many as it remembers: those with a finding, then the latest closed.

    The others would be forgotten at once; they are read at every look all the same, for Temporal lists them.
    """
    wrong = {finding.workflow_id for finding in findings}
    latest = sorted(new, key=lambda one: str(one.closed_at or ""), reverse=True)
    return sorted(latest, key=lambda one: one.workflow_id not in wrong)[:KEPT_ROUTES]


def judge(watched: Watched, shown: RouteState) -> RouteFinding | None:
    """What is wrong with a route that no rollout owns; None when it rests as it has to, on every proxy."""
    drift = drift_of(watched.rest, shown)
    if drift is None:
        return None
    wrong = drift.weights
    used = [name for name, weight in wrong.items() if weight >= TOLERANCE]
    strangers = sorted(set(used) - {watched.baseline, watched.canary, *watched.rest})
    last = f"{watched.rollout_id or watched.workflow_id} ({watched.ended})"
    should = f"it should rest at {weights_text(watched.rest)}, where the last rollout, {last}, leaves it"
    kind: Literal["split", "wrong_arm"] = "wrong_arm" if len(used) == 1 else "split"
    what = "is split" if kind == "split" else "is on the wrong arm"
    reason = f"traffic {what}: {weights_text(wrong)}, and no rollout owns the route; {should}"
    if strangers:
        reason += f"; {', '.join(strangers)} is of no rollout known here, so nothing is written over it"
    return RouteFinding(
        workflow_id=watched.workflow_id,
        kind=kind,
        reason=reason,
        weights=wrong,
        generation=drift.generation,
        restorable=not strangers,
    )


def beside(finding: RouteFinding) -> RouteFinding:
    """The same while a rollout runs that has not taken the route: only its end, or people, may put it right."""
    runs = "a rollout runs that only advises or still waits to be admitted, and nothing is written while it does"
    return finding.model_copy(update={"reason": f"{finding.reason}; {runs}", "restorable": False, "beside": True})


def unreadable(watched: Watched, why: str) -> RouteFinding:
    """The finding for a route that could not be read."""
    reason = f"the route cannot be read, so nobody knows where its traffic goes: {why}"
    return RouteFinding(workflow_id=watched.workflow_id, kind="unreadable", reason=reason)


def take_in(state: GuardState, survey: Survey, now: datetime) -> list[str]:
    """Fold one survey into the state: new findings are noted and told, mended ones closed.

    Returns:
        Workflow ids whose routes are to be restored now.
    """
    state.looks, state.last_look, state.failure = state.looks + 1, now, _unknown(survey)
    state.looked, state.live, state.unlisted = survey.looked, len(survey.live), survey.unlisted
    for watched in survey.watched:
        before = state.watched.get(watched.workflow_id)
        if before is None or before.run_id != watched.run_id:
            # Another rollout died since: its route is wrong for a reason of its own, not because it is fought for.
            state.restored.pop(watched.workflow_id, None)
        state.watched[watched.workflow_id] = watched
    found = {finding.workflow_id: finding for finding in survey.findings if finding.workflow_id in state.watched}
    for key in [key for key in state.open if key not in found and key not in survey.unknown]:
        _close(state, key, now, owned=key in survey.live)
    for key, finding in found.items():
        known = state.open.get(key)
        if known is None or (known.finding.kind == "unreadable") > (finding.kind == "unreadable"):
            state.open[key] = OpenFinding(finding=finding, since=now)
            _note(state, key, "guard_found", finding.reason, now, finding)
        elif finding.kind != "unreadable" or known.finding.kind == "unreadable":
            # A route that is wrong and cannot be read for a moment is the same finding still, its clock goes on.
            known.finding = finding
    due = [key for key, finding in found.items() if finding.kind != "unreadable" and _is_due(state, key, now)]
    for key in found:
        _tell_once(state, key, now)
    take_in_stuck(state, survey, now)
    _forget(state, now)
    return due


def _unknown(survey: Survey) -> str:
    """Whose routes nobody can judge, why of the first, and of whom there are too many to be told of."""
    said = [CUT] if survey.cut else []
    if survey.also_stuck:
        said.append(f"{len(survey.also_stuck)} rollouts more are stuck than the {KEPT_STUCK} that are told of")
    if survey.unknown:
        key, why = next(iter(survey.unknown.items()))
        more = f" (and {len(survey.unknown) - 1} more)" if len(survey.unknown) > 1 else ""
        said.append(f"where the route of {key}{more} should rest cannot be told: {why}")
    return "; ".join(said)


def restored(state: GuardState, key: str, now: datetime) -> None:
    """A route was put back and reads back right."""
    opened = state.open.pop(key)
    watched = state.watched[key]
    state.restored.setdefault(key, []).append(now)
    text = f"the route is back at {weights_text(watched.rest)} (it was at {weights_text(opened.finding.weights)})"
    _note(state, key, "guard_restored", text, now, opened.finding, generation=opened.finding.generation + 1)
    tell(state, watched, f"{name_of(watched)}: the guard restored the route", text, "warning")


def not_restored(state: GuardState, key: str, reason: str, now: datetime) -> None:
    """A try to put a route back did nothing; the next look sees further. The same reason is noted once."""
    opened = state.open[key]
    if opened.failure != reason:
        _note(state, key, "guard_not_restored", reason, now, opened.finding)
    opened.failure = reason


def status(state: GuardState, *, running: bool = True) -> GuardStatus:
    """The guard as people see it."""
    return GuardStatus(
        environment=state.environment,
        running=running and not state.off,
        settings=state.settings,
        findings=list(state.open.values()),
        stuck=list(state.stuck.values()),
        looks=state.looks,
        looked=state.looked,
        live=state.live,
        archived=state.archived,
        archive_failure=state.archive_failure,
        waiting=len(state.backlog) + len(state.outbox),
        not_taken=state.not_taken,
        forgotten=state.forgotten,
        last_look=state.last_look,
        failure=state.failure,
    )


def given_up(state: GuardState, key: str, now: datetime) -> bool:
    """It was put back so often lately that somebody else must be writing it."""
    return len([at for at in state.restored.get(key, []) if now - at < RESTORES_WITHIN]) >= MOST_RESTORES


def _is_due(state: GuardState, key: str, now: datetime) -> bool:
    opened, settings = state.open[key], state.settings
    restores = settings.policy == "restore" and opened.finding.restorable and not given_up(state, key, now)
    return restores and now - opened.since >= settings.grace


def _tell_once(state: GuardState, key: str, now: datetime) -> None:
    opened, settings = state.open[key], state.settings
    if opened.told:
        return
    finding, watched = opened.finding, state.watched[key]
    if finding.kind == "unreadable":
        if now - opened.since < settings.grace:
            # A router that restarts is nobody's night.
            return
        what = "its route cannot be read"
    else:
        what = "traffic is split" if finding.kind == "split" else "traffic is on the wrong arm"
    opened.told = True
    tell(
        state,
        watched,
        f"{name_of(watched)}: {what} and no rollout owns it",
        finding.reason,
        "critical",
        _next(state, key, now),
    )


def _next(state: GuardState, key: str, now: datetime) -> str:
    opened, settings = state.open[key], state.settings
    if opened.finding.kind == "unreadable":
        return "It is read again at every look."
    if settings.policy == "tell":
        return "Nothing is written: put it right by hand, or run: coalmine guard --policy restore"
    if not opened.finding.restorable:
        return "Put it right by hand" + (", or end that rollout." if opened.finding.beside else ".")
    if given_up(state, key, now):
        within = format_duration(RESTORES_WITHIN)
        return f"It was restored {MOST_RESTORES} times within {within}: somebody else writes it. Find out who."
    left = settings.grace - (now - opened.since)
    when = f"in {format_duration(left)}" if left > timedelta(0) else "now"
    return f"It is restored {when}, unless a rollout owns it by then."


def _close(state: GuardState, key: str, now: datetime, *, owned: bool) -> None:
    opened = state.open.pop(key)
    text = "a rollout owns the route now" if owned else "the route is as it has to be again"
    _note(state, key, "guard_cleared", text, now, opened.finding)
    if opened.told:
        tell(
            state,
            state.watched[key],
            f"{name_of(state.watched[key])}: {text}",
            f"It was: {opened.finding.reason}",
            "info",
        )


def _note(
    state: GuardState, key: str, kind: str, reason: str, now: datetime, finding: RouteFinding, **data: Any
) -> None:
    about = {"finding": finding.kind, "weights": finding.weights, **data}
    note(state, state.watched[key], kind, reason, now, **about)


def _forget(state: GuardState, now: datetime) -> None:
    """Keep what is remembered bounded; what has a finding, or was restored lately, stays."""
    state.restored = {
        key: kept
        for key, moments in state.restored.items()
        if (kept := [at for at in moments if now - at < RESTORES_WITHIN])
    }
    surplus = len(state.watched) - KEPT_ROUTES
    if surplus > 0:
        # Of a route that was forgotten the restores would be counted anew, and two who fight over it fight for ever.
        quiet = [key for key in state.watched if key not in state.open and key not in state.restored]
        oldest = sorted(quiet, key=lambda key: str(state.watched[key].closed_at or ""))
        for key in oldest[:surplus]:
            del state.watched[key]
