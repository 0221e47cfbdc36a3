"""One rollout's page in parts, and the stream of what changes in it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from markupsafe import Markup
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request

from coalmine.dashboard.context import Settings, render
from coalmine.dashboard.feed import Feed
from coalmine.dashboard.fleet_view import act_path
from coalmine.dashboard.people import Person
from coalmine.dashboard.rollout_view import RolloutView, announcement, view
from coalmine.dashboard.streams import Streams
from coalmine.dashboard.watch import Seen
from coalmine.records import RolloutStatus
from coalmine.report import markup
from coalmine.searching import RolloutRef

PARTS = ("head", "actions", "now", "metrics", "traffic", "diagnosis", "decisions")


def whole(seen: Seen, settings: Settings, person: Person | None) -> dict[str, Any]:
    """What the template of the whole page takes."""
    shown = view(seen)
    return {"view": shown, "parts": {name: Markup(html) for name, html in _parts(shown, settings, person).items()}}


def stream(request: Request, feed: Feed, ref: RolloutRef, person: Person | None) -> EventSourceResponse:
    """Everything at first, then what changed."""
    streams: Streams = request.app.state.streams
    return streams.response(request, _updates(feed, ref, request.app.state.settings, person))


async def _updates(
    feed: Feed, ref: RolloutRef, settings: Settings, person: Person | None
) -> AsyncGenerator[ServerSentEvent, None]:
    parts: dict[str, str] = {}
    before: RolloutStatus | None = None
    async with feed.viewing(ref) as watched:
        known = watched.value.status is not None or watched.value.refused is not None
        number = watched.number - 1 if known else watched.number
        while True:
            number, seen = await watched.after(number)
            if seen.refused is not None:
                yield ServerSentEvent("", event="gone")
                return
            if seen.status is None:
                banner = _banner(seen)
                yield ServerSentEvent(json.dumps({"parts": {"banner": banner}, "announce": ""}), event="update")
                continue
            shown = view(seen)
            now = _parts(shown, settings, person)
            changed = {name: html for name, html in now.items() if parts.get(name) != html}
            if changed:
                update = {"parts": changed, "announce": announcement(before, seen.status)}
                update["title"] = f"{shown.headline} – Coalmine"
                yield ServerSentEvent(json.dumps(update), event="update")
            parts, before = now, seen.status


def _banner(seen: Seen) -> str:
    return render(
        "_banner.html", trouble=seen.trouble, what="No answer from this rollout", shown=seen.status is not None
    )


def _parts(shown: RolloutView, settings: Settings, person: Person | None) -> dict[str, str]:
    status = shown.status

    def safe_link(url: str, text: str) -> Markup:
        return Markup(markup.link(url, text))

    given = {
        "view": shown,
        "why_not": settings.actor.why_not(person),
        "act": lambda verb: act_path(status, verb),
        "link": settings.rollouts.ui_link(status.workflow_id, status.run_id),
        "has_ledger": settings.ledger is not None,
        "safe_link": safe_link,
    }
    return {"banner": _banner(shown.seen), **{name: render(f"_{name}.html", **given) for name in PARTS}}
