"""What a ledger tells of a period: how often and how fast is released, how much fails, and whether the judge was right.

Definitions are in docs/insights.md. A rate always comes with its two counts: one of three is not thirty of ninety.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

WAS = ("right", "false-alarm", "missed")
"""What people may say of a judgement: it was right; it rolled back or held a good release; it let a bad one through."""
INSIGHT = "insight"
FIRST_INSIGHT = 1_000_000
"""Sequence of a rollout's first written insight: far above all that the workflow writes."""
SLOWEST = 10
"""Gates that are listed."""

# Where a rollout ended and was reset too late, the run that the reset made closed as blocked: the end before it stands.
_ROLLOUTS = """
CREATE TABLE rollouts AS
WITH ends AS (
  SELECT rollout_id AS id, bool_or(data->>'outcome' <> 'blocked') AS ended_before
  FROM events WHERE kind = 'closed' GROUP BY rollout_id
), told AS (
  SELECT events.*, kind = 'closed' AND (data->>'outcome' = 'blocked' AND ended_before) IS NOT TRUE AS ends
  FROM events LEFT JOIN ends ON id = rollout_id
), summed AS (
  SELECT rollout_id, any_value(environment) AS environment, any_value(service) AS service,
    any_value(region) AS region, any_value(version) AS version,
    min("at") FILTER (kind <> 'insight') AS began,
    min("at") FILTER (kind = 'promoted') AS promoted_at,
    max("at") FILTER (ends) AS closed_at,
    arg_max(data->>'outcome', "at") FILTER (ends) AS outcome,
    arg_max(data->>'cause', "at") FILTER (ends) AS cause,
    arg_max(reason, "at") FILTER (ends) AS reason,
    max(TRY_CAST(data->>'seconds_to_restore' AS DOUBLE)) FILTER (ends) AS restore_seconds,
    coalesce(max(TRY_CAST(data->>'looks' AS BIGINT)) FILTER (ends), 0) AS looks,
    coalesce(bool_or(data->>'advise' = 'true') FILTER (kind = 'admitted'), false) AS advise,
    coalesce(bool_or("by" <> '') FILTER (kind = 'override'), false) AS overridden,
    coalesce(bool_or("by" = '') FILTER (kind = 'override'), false) AS promoted_by_policy,
    bool_or(kind = 'hold') AS held,
    coalesce(bool_or(data->>'verb' = 'resume') FILTER (kind = 'command'), false) AS resumed,
    arg_max(data->>'was', "at") FILTER (kind = 'insight') AS was,
    count(*) FILTER (kind = 'insight') AS insights
  FROM told GROUP BY rollout_id
)
SELECT s.*, coalesce(s.closed_at, s.promoted_at) AS ended,
  coalesce(s.outcome, CASE WHEN s.closed_at IS NULL AND s.promoted_at IS NOT NULL THEN 'promoted' END) AS ended_as,
  EXISTS (
    SELECT 1 FROM summed t
    WHERE t.environment = s.environment AND t.service = s.service AND t.region IS NOT DISTINCT FROM s.region
      AND t.version = s.version AND t.promoted_at > s.closed_at AND coalesce(t.outcome, 'promoted') = 'promoted'
  ) AS promoted_later
FROM summed s
"""

_FIGURES = """
WITH judged AS (
  SELECT *, ended_as = 'promoted' AS good,
    ended_as IN ('rolled_back', 'rejected', 'failed') AND (looks > 0 OR promoted_at IS NOT NULL) AS bad,
    ended_as = 'rolled_back' AND cause = 'analysis' AS by_judge
  FROM rollouts WHERE ended >= $since AND NOT advise
)
SELECT environment, service, region,
  count(*) FILTER (good) AS promoted,
  count(*) FILTER (bad) AS failed,
  count(*) FILTER (ended_as = 'blocked') AS blocked,
  quantile_cont(epoch(promoted_at - began), 0.5) FILTER (good) AS lead_median,
  quantile_cont(epoch(promoted_at - began), 0.9) FILTER (good) AS lead_p90,
  quantile_cont(restore_seconds, 0.5) FILTER (bad) AS restore_median,
  quantile_cont(restore_seconds, 0.9) FILTER (bad) AS restore_p90,
  max(restore_seconds) FILTER (bad) AS restore_longest,
  count(*) FILTER (by_judge) AS rolled_back_by_judge,
  count(*) FILTER (by_judge AND was = 'false-alarm') AS called_false,
  count(*) FILTER (by_judge AND was IS NULL AND promoted_later) AS promoted_later,
  count(*) FILTER (by_judge AND was = 'right') AS called_right,
  count(*) FILTER (was = 'missed') AS missed,
  count(*) FILTER ((good OR bad) AND overridden) AS overridden,
  count(*) FILTER ((good OR bad) AND promoted_by_policy) AS promoted_by_policy,
  count(*) FILTER ((good OR bad) AND held) AS held,
  count(*) FILTER ((good OR bad) AND held AND resumed AND good) AS resumed_and_promoted
FROM judged
GROUP BY GROUPING SETS ((), (environment, service, region))
HAVING count(*) > 0 OR grouping(service) = 1
ORDER BY grouping(service) DESC, environment, service, region NULLS FIRST
"""

_GATES = """
WITH gates AS (
  SELECT g.rollout_id, g.environment, g.service, g.region, g.data->>'gate' AS gate,
    min(g."at") AS began, min(g.sequence) AS first
  FROM events g WHERE g.kind = 'gate' GROUP BY ALL
), waited AS (
  SELECT g.*, (
    SELECT min(e."at") FROM events e WHERE e.rollout_id = g.rollout_id AND e.sequence > g.first
      AND e.kind IN ('advance', 'promote', 'override', 'roll_back', 'closed')
  ) AS ended
  FROM gates g
)
SELECT environment, service, region, gate, count(*) AS times,
  quantile_cont(epoch(ended - began), 0.5) AS median, max(epoch(ended - began)) AS longest
FROM waited WHERE ended >= $since
GROUP BY ALL ORDER BY median DESC, longest DESC, service, gate LIMIT $slowest
"""

_LESSONS = """
SELECT e.rollout_id, e."at", e."by", e.reason AS text, e.data->>'was' AS was, r.ended_as AS outcome
FROM events e JOIN rollouts r USING (rollout_id)
WHERE e.kind = 'insight' AND r.ended >= $since ORDER BY e."at" DESC, e.rollout_id, e.sequence
"""

_UNTOLD = """
SELECT rollout_id, ended AS "at", ended_as AS outcome, reason FROM rollouts
WHERE ended >= $since AND insights = 0 AND NOT advise AND ended_as IN ('rolled_back', 'rejected', 'failed')
ORDER BY ended DESC, rollout_id
"""

_WEEKS = """
SELECT date_trunc('week', ended) AS week,
  count(*) FILTER (ended_as = 'promoted') AS promoted,
  count(*) FILTER (ended_as IN ('rolled_back', 'rejected', 'failed') AND (looks > 0 OR promoted_at IS NOT NULL))
    AS failed,
  count(*) FILTER (ended_as = 'blocked') AS blocked,
  quantile_cont(epoch(promoted_at - began), 0.5) FILTER (ended_as = 'promoted') AS lead_median
FROM rollouts WHERE ended >= $since AND NOT advise GROUP BY ALL ORDER BY week
"""

_PAST = """
SELECT rollout_id, environment, service, region, version, began, ended, ended_as AS outcome, cause, reason,
  epoch(ended - began) AS seconds
FROM rollouts WHERE ended >= $since AND NOT advise ORDER BY ended DESC, rollout_id LIMIT $most
"""


@dataclass(frozen=True)
class Rate:
    """``part`` of ``whole``; without any there is no rate."""

    part: int
    whole: int

    @property
    def rate(self) -> float | None:
        """From 0 to 1."""
        return self.part / self.whole if self.whole else None


@dataclass(frozen=True)
class Figures:
    """One service in one place, or all of them (``service`` empty). Times in seconds."""

    environment: str
    service: str
    region: str
    promoted: int
    failed: int
    blocked: int
    deployments_a_week: float
    lead_median: float | None
    lead_p90: float | None
    change_failure: Rate
    restore_median: float | None
    restore_p90: float | None
    restore_longest: float | None
    false_rollbacks: Rate
    """Of the rollbacks by the judge: those people called a false alarm, and those they said nothing of whose version
    was promoted later."""
    called_right: int
    """Rollbacks by the judge that people called right."""
    missed: int
    """Releases that people say the judge should not have let through."""
    overrides: Rate
    """Of all that were promoted or failed: those a person promoted past the judge."""
    promoted_by_policy: int
    held: int
    resumed_and_promoted: int


@dataclass(frozen=True)
class Insights:
    """What a ledger tells of a period."""

    since: datetime
    until: datetime
    total: Figures
    services: tuple[Figures, ...]
    gates: tuple[dict[str, Any], ...]
    """The slowest ones: how long they were waited at, in seconds."""
    lessons: tuple[dict[str, Any], ...]
    """What people wrote, the newest first."""
    untold: tuple[dict[str, Any], ...]
    """Failed releases nobody has written about."""

    def as_object(self) -> dict[str, Any]:
        """As JSON has it; rates are written out."""
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "total": _plain(self.total),
            "services": [_plain(one) for one in self.services],
            "gates": list(self.gates),
            "lessons": list(self.lessons),
            "untold": list(self.untold),
        }


def insights(database: duckdb.DuckDBPyConnection, since: datetime, until: datetime) -> Insights:
    """Read the table ``events`` (``events_table``).

    Args:
        database: with all entries of the rollouts that are asked for.
        since: rollouts that ended before are left out.
        until: now; how often is released counts from ``since`` to here.
    """
    database.execute(_ROLLOUTS)
    at = {"since": since.astimezone(UTC).replace(tzinfo=None)}
    weeks = (until - since) / timedelta(weeks=1)
    total, *services = [_figures(row, weeks) for row in _asked(database, _FIGURES, at)]
    return Insights(
        since=since,
        until=until,
        total=total,
        services=tuple(services),
        gates=tuple(_asked(database, _GATES, {**at, "slowest": SLOWEST})),
        lessons=tuple(_asked(database, _LESSONS, at)),
        untold=tuple(_asked(database, _UNTOLD, at)),
    )


def weeks(database: duckdb.DuckDBPyConnection, since: datetime) -> list[dict[str, Any]]:
    """How rollouts ended, by the week (from Monday, UTC) they ended in; weeks without one are left out.

    Args:
        database: of which ``insights`` was asked already.
        since: rollouts that ended before are left out.
    """
    return _asked(database, _WEEKS, {"since": since.astimezone(UTC).replace(tzinfo=None)})


def past(database: duckdb.DuckDBPyConnection, since: datetime, most: int) -> list[dict[str, Any]]:
    """The latest rollouts that ended, the newest first, as ``weeks`` takes them."""
    return _asked(database, _PAST, {"since": since.astimezone(UTC).replace(tzinfo=None), "most": most})


def next_insight(sequences: Sequence[int]) -> int:
    """The sequence of the next insight of a rollout whose entries have these."""
    return max([FIRST_INSIGHT, *(number + 1 for number in sequences if number >= FIRST_INSIGHT)])


def _figures(row: dict[str, Any], weeks: float) -> Figures:
    ended = row["promoted"] + row["failed"]
    return Figures(
        environment=row["environment"] or "",
        service=row["service"] or "",
        region=row["region"] or "",
        promoted=row["promoted"],
        failed=row["failed"],
        blocked=row["blocked"],
        deployments_a_week=row["promoted"] / weeks,
        lead_median=row["lead_median"],
        lead_p90=row["lead_p90"],
        change_failure=Rate(row["failed"], ended),
        restore_median=row["restore_median"],
        restore_p90=row["restore_p90"],
        restore_longest=row["restore_longest"],
        false_rollbacks=Rate(row["called_false"] + row["promoted_later"], row["rolled_back_by_judge"]),
        called_right=row["called_right"],
        missed=row["missed"],
        overrides=Rate(row["overridden"], ended),
        promoted_by_policy=row["promoted_by_policy"],
        held=row["held"],
        resumed_and_promoted=row["resumed_and_promoted"],
    )


def _plain(figures: Figures) -> dict[str, Any]:
    found = asdict(figures)
    for name in ("change_failure", "false_rollbacks", "overrides"):
        rate: Rate = getattr(figures, name)
        found[name] = {"part": rate.part, "whole": rate.whole, "rate": rate.rate}
    return found


def _asked(database: duckdb.DuckDBPyConnection, query: str, given: dict[str, Any]) -> list[dict[str, Any]]:
    answer = database.execute(query, given)
    names = [column[0] for column in answer.description or ()]
    return [{name: _value(value) for name, value in zip(names, row, strict=True)} for row in answer.fetchall()]


def _value(value: Any) -> Any:
    return value.replace(tzinfo=UTC).isoformat() if isinstance(value, datetime) else value
