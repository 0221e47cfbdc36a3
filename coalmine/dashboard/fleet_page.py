"""The fleet's page in parts, and the stream of what changes in it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from markupsafe import Markup
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request

from coalmine.dashboard.context import render
from coalmine.dashboard.feed import Feed, Fleet
from coalmine.dashboard.fleet_view import SIZES, STATES, FleetPage, FleetQuery, view
from coalmine.dashboard.streams import Streams
from coalmine.dashboard.waits import FRESH
from coalmine.records import Outcome, Phase
from coalmine.searching import RolloutRow

WAIT_FOR_WAITS = 0.3
"""Seconds a page may take to hear what its rows wait for; the rest comes with the stream."""
HEADS = (
    ("service", "Service"), ("environment", "Environment"), ("version", "Version"), ("phase", "Stands"),
    ("weight", "Canary"), ("attention", "Waits for"), ("", "Until"), ("started", "Since"),
)  # fmt: skip
_TONES = {Phase.HELD: "warn", Phase.GATED: "warn", Phase.ROLLING_BACK: "bad"}


async def whole(feed: Feed, fleet: Fleet, query: FleetQuery) -> dict[str, Any]:
    """What the template of the whole page takes."""
    shown = view(fleet, query)
    await feed.waits.learn(shown.rows, WAIT_FOR_WAITS, FRESH)
    parts = _parts(fleet, shown)
    return {
        "page": shown,
        "query": shown.query,
        "phases": [str(phase) for phase in Phase],
        "states": STATES,
        "sizes": SIZES,
        "heads": HEADS,
        "rows": [Markup(row) for row in _rows(feed, shown).values()],
        **{name: Markup(html) for name, html in parts.items()},
    }


def stream(request: Request, feed: Feed, query: FleetQuery) -> EventSourceResponse:
    """Everything at first, then what changed."""
    streams: Streams = request.app.state.streams
    return streams.response(request, _updates(feed, query))


async def _updates(feed: Feed, query: FleetQuery) -> AsyncGenerator[ServerSentEvent, None]:
    sent: dict[str, str] = {}
    order: list[str] = []
    parts: dict[str, str] = {}
    stood: dict[str, str] = {}
    async with feed.viewing_fleet() as viewer:
        await feed.current()
        first = True
        while True:
            number, known = feed.news.number, viewer.fleet.value
            shown = view(known, query)
            viewer.shown = shown.rows
            if known.trouble is None:
                await feed.waits.learn(shown.rows, WAIT_FOR_WAITS)
            rows, now = _rows(feed, shown), _parts(known, shown)
            changed = {id_: html for id_, html in rows.items() if sent.get(id_) != html}
            renewed = {name: html for name, html in now.items() if parts.get(name) != html}
            standing = {row.run_id: f"{row.service} in {row.environment}: {stands(row)}" for row in shown.rows}
            if first or changed or renewed or order != list(rows):
                update = {"order": list(rows), "rows": changed, "parts": renewed, "first": first}
                update["announce"] = "" if first else _announcement(stood, standing)
                yield ServerSentEvent(json.dumps(update), event="update")
            sent, parts, order, stood, first = rows, now, list(rows), standing, False
            await feed.news.after(number)


def stands(row: RolloutRow) -> str:
    """Phase or outcome, in words."""
    if row.paused_in_temporal:
        return f"paused in Temporal ({(row.outcome or row.phase or 'being admitted').replace('_', ' ')})"
    if row.outcome:
        return row.outcome.replace("_", " ") + (", in its rollback window" if row.open else "")
    return (row.phase or "being admitted").replace("_", " ")


def _announcement(before: dict[str, str], now: dict[str, str]) -> str:
    moved = [said for run, said in now.items() if before.get(run) != said]
    return "; ".join(moved) if len(moved) <= 3 else f"{len(moved)} rollouts on this page changed"


def _tone(row: RolloutRow) -> str:
    if row.outcome:
        return "good" if row.outcome == Outcome.PROMOTED else "bad"
    return _TONES.get(Phase(row.phase), "") if row.phase in set(Phase) else ""


def _rows(feed: Feed, shown: FleetPage) -> dict[str, str]:
    return {
        f"r-{row.run_id}": render(
            "_fleet_row.html", row=row, wait=feed.waits.known(row), stands=stands(row), tone=_tone(row)
        )
        for row in shown.rows
    }


def _parts(fleet: Fleet, shown: FleetPage) -> dict[str, str]:
    attention = sum(shown.counts.get(phase, 0) for phase in (Phase.HELD, Phase.GATED))
    counts = [(str(phase), shown.counts[phase]) for phase in Phase if shown.counts.get(phase)]
    return {
        "banner": render("_banner.html", trouble=fleet.trouble, what="Not connected to Temporal", shown=True),
        "summary": render("_fleet_summary.html", page=shown, attention=attention, counts=counts),
        "pager": render("_fleet_pager.html", page=shown),
    }
