"""What a message about a rollout is as the status of a deployment. Pure."""

from __future__ import annotations

from coalmine.records import Notification, Outcome, Phase

LONGEST = 140
"""Characters of a description: GitHub refuses more."""
_ENDS = {
    Outcome.PROMOTED: "success",
    Outcome.ROLLED_BACK: "failure",
    Outcome.REJECTED: "failure",
    Outcome.BLOCKED: "failure",
    Outcome.FAILED: "error",
    Outcome.SUPERSEDED: "inactive",
}
_AT_GITLAB = {
    "queued": "created",
    "in_progress": "running",
    "success": "success",
    "failure": "failed",
    "error": "failed",
    "inactive": "canceled",
}


def github_state(said: Notification) -> str:
    """``queued`` ``in_progress`` ``success`` ``failure`` ``error`` ``inactive``.

    A rollout that waits for a human is in progress too: only its description says so.
    """
    if said.outcome is not None:
        return _ENDS[said.outcome]
    if said.phase is Phase.ADMITTING:
        return "queued"
    # Advice has no outcome: nothing was deployed.
    return "inactive" if said.phase is Phase.CLOSED else "in_progress"


def gitlab_status(said: Notification) -> str:
    """``created`` ``running`` ``success`` ``failed`` ``canceled``."""
    return _AT_GITLAB[github_state(said)]


def description(said: Notification) -> str:
    """One sentence: the title, and as much of the text as fits into ``LONGEST`` characters."""
    title, text = " ".join(said.title.split()), " ".join(said.text.split())
    whole = f"{title}: {text}" if text else title
    if len(whole) <= LONGEST:
        return whole
    cut = whole[: LONGEST - 2].rsplit(" ", 1)[0].rstrip(" .,;:")
    # One endless word is cut where it is.
    return (cut if len(cut) > LONGEST // 2 else whole[: LONGEST - 2]) + " …"
