"""What the guard says of open rollouts whose workflow tasks keep failing. Pure.

The guard does nothing about them: the route is theirs for as long as they are open. People hear of one once, with what
they can do, and once when it goes on.
"""

from __future__ import annotations

from datetime import datetime
from shlex import quote

from coalmine.guard_telling import name_of, note, tell
from coalmine.ownership import LastTasks, Run, RunFacts, watched_of, weights_text
from coalmine.records import GuardState, OpenStuck, Outcome, StuckRollout, Survey

KEPT_STUCK = 100
"""Rollouts that are remembered to be stuck."""
FAILURE_LIMIT = 200
"""Characters of why a task failed."""


def stuck_rollout(run: Run, facts: RunFacts | None, last: LastTasks, namespace: str) -> StuckRollout:
    """The finding for an open run, with what helps."""
    failure = last.failure.partition("\n")[0][:FAILURE_LIMIT] or ", ".join(run.problems)
    at = f" (worker {last.worker})" if last.worker else ""
    does = "it looks at nothing, moves no traffic and hears no rollback"
    reason = f"its workflow tasks keep failing, so {does}: {failure}{at}"
    build = f"the build that had it last ({last.build})" if last.build else "the build that began it"
    # Whoever starts one by hand may give it any id.
    environment = facts.spec.environment if facts is not None else f"{run.workflow_id}//".split("/")[1]
    which = f"--namespace {quote(namespace)} --workflow-id {quote(run.workflow_id)}"
    mend = (
        f"Start a worker of {build}: it goes on, and hears a rollback that was said meanwhile. What failed: "
        f"temporal workflow show {which} --run-id {run.run_id}. To roll back without such a worker: "
    )
    if run.outcome == Outcome.PROMOTED:
        # The guard would keep the canary there, and write over a hand once nothing is open any more.
        before = weights_text(facts.snapshot) if facts is not None and facts.snapshot else "the weights before it"
        mend += (
            f"write {before} by hand, and leave it open: it was promoted, so after terminate the guard keeps it there"
        )
    else:
        mend += (
            f'temporal workflow terminate {which} --reason "stuck", after which the guard puts the route back to what '
            f"was before (coalmine guard -e {environment})"
        )
    return StuckRollout(
        workflow_id=run.workflow_id,
        run_id=run.run_id,
        environment=environment,
        reason=reason,
        mend=mend,
        watched=watched_of(run, facts, facts.snapshot, "open") if facts is not None else None,
        unread=facts is None,
    )


def take_in_stuck(state: GuardState, survey: Survey, now: datetime) -> None:
    """Fold one survey into the state: who is stuck since, and who goes on."""
    found = {one.run_id: one for one in survey.stuck[:KEPT_STUCK]}
    still = {*found, *survey.also_stuck}
    for run_id in [run_id for run_id in state.stuck if run_id not in still]:
        if survey.freed is not None and run_id not in survey.freed:
            # A list may be cut, and lags behind: who is not in it is neither over nor mended.
            continue
        gone = state.stuck.pop(run_id).stuck
        goes_on = _goes_on(gone, survey) if survey.freed is None else survey.freed[run_id] == "goes_on"
        _say(state, gone, now, "guard_cleared", "its workflow tasks are done again" if goes_on else "it is closed")
    for run_id, stuck in found.items():
        known = state.stuck.get(run_id)
        if known is None and len(state.stuck) >= KEPT_STUCK:
            # Those that were told of are not forgotten for it: they would be told again.
            continue
        if known is not None and stuck.unread and not known.stuck.unread:
            # Another worker looked, or this one began anew: what is known of it stays.
            stuck = known.stuck
        state.stuck[run_id] = OpenStuck(stuck=stuck, since=known.since if known is not None else now)
        if known is None or (known.stuck.unread and not stuck.unread):
            _say(state, stuck, now, "guard_found", stuck.reason, stuck.mend)


def _goes_on(gone: StuckRollout, survey: Survey) -> bool:
    """As surveys told it that did not ask about each run: by its id, under which another may run."""
    return gone.workflow_id in survey.live or gone.workflow_id in survey.beside


def _say(state: GuardState, stuck: StuckRollout, now: datetime, kind: str, text: str, then: str = "") -> None:
    watched = stuck.watched
    if watched is None:
        # Its channels and its ledger are in what cannot be read: the page, the status and doctor say it.
        return
    note(state, watched, kind, text, now, finding="stuck")
    title = f"{name_of(watched)}: the rollout is stuck" if then else f"{name_of(watched)}: no longer stuck"
    tell(state, watched, title, text, "critical" if then else "info", then)
