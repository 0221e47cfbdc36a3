"""The guard's page in the Temporal UI, and the lines the command line shows. Pure."""

from __future__ import annotations

from coalmine.guarding import status
from coalmine.markdown import cell, table
from coalmine.records import GuardSettings, GuardState, GuardStatus, OpenFinding, OpenStuck
from coalmine.spec.durations import format_duration

SHOWN = 15
"""Findings on the page, the oldest first; ``coalmine guard --status`` shows all."""
REASON_LIMIT = 160


def page(state: GuardState) -> str:
    """Current details, in Markdown."""
    lines = [f"### Traffic guard of {state.environment}", "", settings_text(state.settings)]
    if state.off:
        lines += ["", "**It is turned off.**"]
    if state.last_look is not None:
        at = f"{state.last_look:%Y-%m-%d %H:%M:%S} UTC"
        lines += [
            "",
            f"look {state.looks} at {at}: {state.looked} routes at rest, {state.live} owned by a live rollout",
        ]
    if state.archived:
        lines += ["", f"{state.archived} histories of dead rollouts were kept beside their ledger"]
    if state.archive_failure:
        lines += ["", f"**A history could not be kept:** {cell(state.archive_failure, REASON_LIMIT)}"]
    if text := not_taken_text(status(state)):
        lines += ["", f"**{cell(text, REASON_LIMIT)}**"]
    if state.failure:
        lines += ["", f"**The last look did not see everything:** {cell(state.failure, REASON_LIMIT)}"]
    for one in list(state.stuck.values())[:SHOWN]:
        lines += ["", f"**{stuck_text(one)}**"]
    if not state.open:
        return "\n".join([*lines, "", "no finding is open"])
    rows = [
        [key.removeprefix("canary/"), opened.finding.kind, f"{opened.since:%H:%M:%S}", cell(said(opened), REASON_LIMIT)]
        for key, opened in list(state.open.items())[:SHOWN]
    ]
    return "\n".join([*lines, "", table(("route of", "finding", "since", "what"), rows)])


def settings_text(settings: GuardSettings) -> str:
    """``looks every 1m; restores what has lasted 2m``."""
    does = (
        f"restores what has lasted {format_duration(settings.grace)}" if settings.policy == "restore" else "only tells"
    )
    who = f" (set by {settings.by})" if settings.by else ""
    return f"looks every {format_duration(settings.every)}; {does}{who}"


def not_taken_text(found: GuardStatus) -> str:
    """What nobody has taken of ledger entries and messages, and why; empty where all was."""
    said = [f"{found.waiting} ledger entries and messages wait: {found.not_taken}"] if found.not_taken else []
    if found.forgotten:
        said.append(f"{found.forgotten} that nobody took were given up: they are in the guard's workflow history alone")
    return "; ".join(said)


def said(opened: OpenFinding) -> str:
    """A finding and what hinders its restoring."""
    failure = f"; not restored: {opened.failure}" if opened.failure else ""
    return f"{opened.finding.reason}{failure}"


def stuck_text(opened: OpenStuck) -> str:
    """A rollout that is stuck, since when, and what helps: whole, for it has the commands."""
    stuck = opened.stuck
    name = stuck.workflow_id.removeprefix("canary/")
    return f"{name} is stuck since {opened.since:%H:%M:%S}: {stuck.reason}. {stuck.mend}".replace("\n", " ")
