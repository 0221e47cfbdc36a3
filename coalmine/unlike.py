"""Open rollouts that are no longer as they are known: asked for without listing all those that still are.

Temporal's lists have no "changed since". So the question names what is known, ids by phase, weight and outcome, and
the answer has the others only: to make and to send a row costs far more than to compare it where it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from temporalio.client import Client

from coalmine.connection import asking
from coalmine.executions import listed
from coalmine.searching import RolloutRow, row_of
from coalmine.ui_views import OPEN

NAMED = 1_000
"""Ids in one question, some 40 KB of them: stores take lists of tens of thousands."""
_CALL = timedelta(seconds=10)
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_Told = tuple[str, Callable[[RolloutRow], str | int | None]]
_TOLD: tuple[_Told, ...] = (
    ("CoalminePhase", lambda row: row.phase or None),
    ("CoalmineWeight", lambda row: round(row.canary_weight)),
    ("CoalmineOutcome", lambda row: row.outcome),
)
"""What changes while a run is open, and the order of a list or a search depends on."""


async def list_unlike(client: Client, known: Iterable[RolloutRow], limit: int) -> list[RolloutRow]:
    """Open rollouts in another phase, at another weight or with another outcome than known, and those not known at all.

    Args:
        client: of the server.
        known: as they were listed before. One that closed since is in no answer.
        limit: rows at most for each ``NAMED`` known ones, the latest started of those: who asks again with what these
            said hears of the others.

    Raises:
        TemporalUnavailable: the server does not answer, or lacks the search attributes.
    """
    rows = []
    async with asking("list of changed rollouts", client.namespace, _CALL):
        for question in questions(known):
            found = 0
            async for execution in listed(client, question, limit, _CALL):
                rows.append(row_of(execution))
                found += 1
                if found >= limit:
                    break
    return rows


def questions(known: Iterable[RolloutRow]) -> Iterator[str]:
    """The queries whose answers together are all of those: each is about what started within its part of time.

    A row that is named in the question of another part (a store that cuts times otherwise) is answered, never lost.
    """
    rows = sorted((row for row in known if _can_be_named(row)), key=_start)
    first, after = 0, ""
    while True:
        last = first + NAMED
        # Those that started in one moment belong together.
        while 0 < last < len(rows) and _start(rows[last]) == _start(rows[last - 1]):
            last += 1
        clauses = ["WorkflowType = 'Canary'", OPEN]
        if after:
            clauses.append(f"StartTime > '{after}'")
        if last < len(rows):
            after = f"{_start(rows[last - 1]):%Y-%m-%dT%H:%M:%S.%fZ}"
            clauses.append(f"StartTime <= '{after}'")
        if rows:
            clauses.append(f"({_unlike(rows[first:last], _TOLD)})")
        yield " AND ".join(clauses)
        if last >= len(rows):
            return
        first = last


def _unlike(rows: Sequence[RolloutRow], told: Sequence[_Told]) -> str:
    """Another value than any of these rows has; or one of theirs, and then unlike those that have it."""
    if not told:
        return f"WorkflowId NOT IN ({', '.join(_literal(row.workflow_id) for row in rows)})"
    (name, value_of), *further = told
    groups: dict[str | int | None, list[RolloutRow]] = {}
    for row in rows:
        groups.setdefault(value_of(row), []).append(row)
    values = [_literal(value) for value in groups if value is not None]
    # Stores differ in whether what has no value is "not in" a list.
    others = f"({name} IS NOT NULL AND {name} NOT IN ({', '.join(values)}))" if values else f"{name} IS NOT NULL"
    parts = [others] if None in groups else [others, f"{name} IS NULL"]
    for value, group in groups.items():
        same = f"{name} IS NULL" if value is None else f"{name} = {_literal(value)}"
        parts.append(f"({same} AND ({_unlike(group, further)}))")
    return " OR ".join(parts)


def _can_be_named(row: RolloutRow) -> bool:
    """Quotes, which no rollout of ours has, cannot stand in a question: such a row is in every answer."""
    return not {"'", "\\"} & {*row.workflow_id, *row.phase, *(row.outcome or "")}


def _literal(value: str | int) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _start(row: RolloutRow) -> datetime:
    return row.started_at or _BEGINNING
