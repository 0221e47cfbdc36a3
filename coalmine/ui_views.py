"""The lists people look for in the Temporal UI, as queries and as links that open or keep them. Pure.

The UI keeps saved views in the browser, none on the server; a link with ``savedQuery`` saves one where it is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from coalmine.errors import InputError
from coalmine.records import Outcome, Phase, fleet_id, guard_id

LATELY = timedelta(days=7)
OPEN = "CloseTime IS NULL"
"""The query of what is not over, paused in Temporal or not: servers differ in whether they know the word for paused."""
_CANARY = "WorkflowType = 'Canary'"


@dataclass(frozen=True)
class View:
    """One list. A query of the visibility store, in the UI's own words for its values."""

    name: str
    query: str
    shows: str
    lasting: bool = True
    """It means the same tomorrow: worth keeping as a saved view."""


def views(environment: str | None = None, now: datetime | None = None) -> list[View]:
    """What people look for, of one environment or of all.

    Args:
        environment: its rollouts, fleet and guard only.
        now: from when "this week" counts back; without it there is no such view.

    Raises:
        InputError: the environment cannot stand in a query.
    """
    canary = _CANARY if environment is None else f"{_CANARY} AND CoalmineEnvironment = '{_plain(environment)}'"
    back = f"{canary} AND CoalmineOutcome IN ('{Outcome.ROLLED_BACK}', '{Outcome.REJECTED}')"
    keepers = "WorkflowType IN ('Fleet', 'TrafficGuard')"
    if environment is not None:
        keepers = f"WorkflowId IN ('{fleet_id(environment)}', '{guard_id(environment)}')"
    found = [
        View(
            "Waiting for a human",
            f"{canary} AND {OPEN} AND CoalminePhase IN ('{Phase.GATED}', '{Phase.HELD}')",
            "gates that wait for an approval, and rollouts that are held",
        ),
        View("Held", f"{canary} AND {OPEN} AND CoalminePhase = '{Phase.HELD}'", "rollouts that are held"),
        View(
            "In flight",
            f"{canary} AND {OPEN} AND CoalminePhase != '{Phase.WINDOW}'",
            "rollouts between their start and their end",
        ),
        View(
            "Rollback window",
            f"{canary} AND {OPEN} AND CoalminePhase = '{Phase.WINDOW}'",
            "promoted; one word still restores the old version",
        ),
        View("Rolled back", back, "rolled back and rejected, the latest first"),
        View(
            "Died",
            f"{canary} AND ExecutionStatus IN ('Terminated', 'TimedOut', 'Failed')",
            "ended without a rollback of their own: the traffic guard looks after them",
        ),
        View("Fleets and guards", f"{keepers} AND {OPEN}", "bans, freezes and slots; traffic that nobody owns"),
    ]
    if now is not None:
        since = (now - LATELY).astimezone(UTC)
        week = f"{back} AND CloseTime >= '{since:%Y-%m-%dT%H:%M:%SZ}'"
        found.append(View("Rolled back this week", week, "rolled back and rejected in the last seven days", False))
    return found


def link(ui: str, namespace: str, view: View, *, keep: bool = False) -> str:
    """The address that opens a view; with ``keep`` it also saves it in the browser (once more each time)."""
    address = f"{ui.rstrip('/')}/namespaces/{quote(namespace, safe='')}/workflows?query={quote(view.query, safe='')}"
    return f"{address}&savedQuery={quote(view.name, safe='')}" if keep else address


def _plain(value: str) -> str:
    if "'" in value or "\\" in value:
        raise InputError(f"environment: {value!r}: a name has no quotes")
    return value
