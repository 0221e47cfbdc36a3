"""History and trends, from the ledger alone: the figures of ``coalmine insights``, by week, and reports."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from activities.ledgers.events_table import events_table
from activities.ledgers.insights import Insights, insights, past, weeks
from activities.ledgers.registry import open_ledger, open_pages
from coalmine.cli.insights import service_row, span_text, total_facts
from coalmine.dashboard.context import Settings, page
from coalmine.dashboard.fleet_view import report_path
from coalmine.dashboard.headers import POLICY
from coalmine.dashboard.pages import reader
from coalmine.dashboard.people import Denied
from coalmine.errors import InputError
from coalmine.report import as_html, tell
from coalmine.report.markup import Markup as Html
from coalmine.report.markup import element, table
from coalmine.report.style import STYLE
from coalmine.rollout_names import split_rollout_id
from coalmine.spec.ledger import Ledger

router = APIRouter(include_in_schema=False)
PERIODS = {"7d": 7, "30d": 30, "90d": 90, "180d": 180, "365d": 365}
PAST = 100
FRESH = timedelta(seconds=60)
"""How long figures are kept: a ledger may be large."""
NO_LEDGER = "No ledger is named: start the dashboard with --ledger, a folder or s3://BUCKET/PREFIX."
_WIDTH, _HEIGHT, _FOOT = 760.0, 180.0, 24.0


@dataclass(frozen=True)
class Trends:
    """What is shown of a period."""

    found: Insights
    weeks: list[dict[str, Any]]
    past: list[dict[str, Any]]


@router.get("/trends")
async def trends(request: Request) -> Response:
    """Figures and past rollouts."""
    settings: Settings = request.app.state.settings
    person = await reader(request)
    asked = {name: request.query_params.get(name, "").strip()[:200] for name in ("environment", "service")}
    since = request.query_params.get("since") or "90d"
    if since not in PERIODS:
        raise InputError(f"since: {since!r:.40} is not known: use {', '.join(PERIODS)}")
    if settings.ledger is None:
        return page(request, settings, "trends.html", person, problem=NO_LEDGER)
    kept: Kept = request.app.state.trends
    told = await kept.of(settings.ledger, since, **asked)
    place = [asked["environment"], asked["service"]]
    return page(
        request,
        settings,
        "trends.html",
        person,
        problem="",
        periods=list(PERIODS),
        since=since,
        environment=asked["environment"],
        service=asked["service"],
        figures=[(name.capitalize(), value) for name, value in total_facts(told.found.total).items() if value],
        weeks_plot=Markup(_bars(told.weeks)) if told.weeks else "",
        weeks_table=Markup(_weeks(told.weeks)),
        services=Markup(_services(told.found)) if told.found.services and not all(place) else "",
        gates=Markup(_gates(told.found)) if told.found.gates else "",
        past=Markup(_past(told.past)),
    )


@router.get("/reports/{rollout_id:path}")
async def report(request: Request, rollout_id: str) -> Response:
    """The report of one rollout, as ``coalmine report`` writes it."""
    settings: Settings = request.app.state.settings
    await reader(request)
    exact = split_rollout_id(rollout_id)
    if exact is None:
        raise Denied(404, f"{rollout_id!r:.100} is no rollout id: <environment>/<service>[/<region>]/<version>/<n>")
    if settings.ledger is None:
        raise Denied(404, NO_LEDGER)
    entries = await open_ledger(settings.ledger).rollout(*exact)
    if not entries:
        raise Denied(404, f"the ledger has no rollout {rollout_id}")
    text = await asyncio.to_thread(lambda: as_html(tell(entries)))
    # Its style sheet is within the page; nothing else may be.
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = POLICY.replace("style-src 'self'", f"style-src 'sha256-{digest}'").replace("script-src 'self'; ", "")
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


class Kept:
    """Figures that were read a moment ago; one reading at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._read: dict[tuple[str, str, str], tuple[datetime, Trends]] = {}

    async def of(self, ledger: Ledger, since: str, environment: str, service: str) -> Trends:
        """The trends of a period.

        Raises:
            MissingExtra: DuckDB is not installed.
            LedgerError, LedgerCorrupt: the ledger cannot be read.
        """
        key, now = (since, environment, service), datetime.now(UTC)
        async with self._lock:
            kept = self._read.get(key)
            if kept is None or now - kept[0] > FRESH:
                told = await asyncio.to_thread(_read, ledger, now, PERIODS[since], _wanted(environment, service))
                self._read = {one: had for one, had in self._read.items() if now - had[0] <= FRESH}
                kept = self._read[key] = (now, told)
            return kept[1]


def _read(ledger: Ledger, now: datetime, days: int, wanted: Callable[[str], bool]) -> Trends:
    since = now - timedelta(days=days)
    with events_table(open_pages(ledger), wanted) as database:
        found = insights(database, since, now)
        return Trends(found, weeks(database, since), past(database, since, PAST))


def _wanted(environment: str, service: str) -> Callable[[str], bool]:
    def meant(chain: str) -> bool:
        parts = [*chain.split("/"), "", ""]
        return environment in ("", parts[0]) and service in ("", parts[1])

    return meant


def _weeks(found: list[dict[str, Any]]) -> str:
    rows = [
        [one["week"][:10], str(one["promoted"]), str(one["failed"]), str(one["blocked"]), span_text(one["lead_median"])]
        for one in found
    ]
    return table("How rollouts ended, by week", ["Week of", "promoted:", "failed:", "blocked:", "lead time"], rows)


def _services(found: Insights) -> str:
    head = ["service", "promoted:", "failed:", "a week:", "lead time", "change failure", "false rollbacks", "overrides"]
    return table("Services", head, [service_row(one) for one in found.services])


def _gates(found: Insights) -> str:
    rows = [
        [
            "/".join(part for part in (one["environment"], one["service"], one["region"]) if part),
            one["gate"],
            str(one["times"]),
            span_text(one["median"]),
            span_text(one["longest"]),
        ]
        for one in found.gates
    ]
    return table("How long gates were waited at", ["service", "gate", "times:", "median", "longest"], rows)


def _past(found: list[dict[str, Any]]) -> str:
    rows: list[list[str | Html]] = [
        [
            element("a", one["rollout_id"], href=report_path(one["rollout_id"])),
            (one["outcome"] or "").replace("_", " "),
            (one["cause"] or "").replace("_", " "),
            f"{one['ended'][:16].replace('T', ' ')}",
            span_text(one["seconds"]),
            one["reason"] or "",
        ]
        for one in found
    ]
    if not rows:
        return element("p", "No rollout ended in this period.")
    return table("The latest first", ["rollout", "outcome", "cause", "ended (UTC)", "took", "why"], rows)


def _bars(found: list[dict[str, Any]]) -> str:
    """Bars by week, stacked; the table beside it says the same."""
    most = max(one["promoted"] + one["failed"] + one["blocked"] for one in found) or 1
    wide = _WIDTH / len(found)
    parts = []
    for at, one in enumerate(found):
        top = _HEIGHT - _FOOT
        for kind in ("promoted", "failed", "blocked"):
            high = round(one[kind] / most * (_HEIGHT - _FOOT - 12), 1)
            top = round(top - high, 1)
            if high:
                where = f'x="{at * wide + wide * 0.15:.1f}" y="{top}" width="{wide * 0.7:.1f}" height="{high}"'
                parts.append(f'<rect class="{kind}" {where}><title>{one[kind]} {kind}</title></rect>')
        if at % max(len(found) // 8, 1) == 0:
            place = f'x="{(at + 0.5) * wide:.1f}" y="{_HEIGHT - 6}"'
            parts.append(f'<text {place} text-anchor="middle">{escape(one["week"][5:10])}</text>')
    title = '<title id="weeks-title">Rollouts by week: promoted, failed and blocked</title>'
    return (
        f'<svg class="bars" role="img" aria-labelledby="weeks-title" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}">'
        f"{title}{''.join(parts)}</svg>"
    )
