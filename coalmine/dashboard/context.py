"""Everything one server holds, and how its pages are rendered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from coalmine.dashboard.acting import Actor
from coalmine.dashboard.auth.bearer import Bearer
from coalmine.dashboard.clients import Network
from coalmine.dashboard.fleet_view import path_of, report_path, rollout_path
from coalmine.dashboard.limits import Limits
from coalmine.dashboard.people import Access, Person
from coalmine.dashboard.places import Place
from coalmine.dashboard.session import Sessions
from coalmine.records.texts import writable
from coalmine.report import words
from coalmine.report.style import STYLE
from coalmine.rollouts import Releases
from coalmine.spec.ledger import Ledger

HERE = Path(__file__).parent
NAVIGATION = (("/", "Fleet"), ("/trends", "History and trends"))
"""Pages by address. Pipelines and experiments will stand here."""


@dataclass(frozen=True)
class Settings:
    """How a dashboard is served."""

    rollouts: Releases
    access: Access
    sessions: Sessions
    place: Place
    actor: Actor
    bearer: Bearer
    ledger: Ledger | None = None
    limits: Limits = field(default_factory=Limits)
    proxies: Sequence[Network] = ()
    """Whose word counts on which address they ask for."""
    every: float = 1.0
    """Seconds between two questions to Temporal."""


@cache
def static(name: str) -> tuple[bytes, str]:
    """A file that is served, and the digest in its address: a browser keeps it until it changes.

    The style sheet begins with that of the report, whose plots and tables the pages share.
    """
    text = (HERE / "static" / name).read_text(encoding="utf-8")
    content = (STYLE + text if name.endswith(".css") else text).encode()
    return content, hashlib.sha256(content).hexdigest()[:16]


@cache
def templates() -> Environment:
    """The templates: everything is escaped, and what is not known is an error."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(when=when, until=until, plain=words.plain)
    environment.globals.update(
        rollout_path=rollout_path,
        path_of=path_of,
        report_path=report_path,
        static_path=static_path,
        navigation=NAVIGATION,
    )
    return environment


def static_path(name: str) -> str:
    """The address of a file that is served."""
    return f"/static/{name}?v={static(name)[1]}"


def when(at: datetime | None, attribute: str = "") -> Markup:
    """A moment, in UTC to the second; the script may say how long ago that is."""
    if at is None:
        return Markup("–")
    moment = at.astimezone(UTC)
    return Markup('<time datetime="{}"{}>{} UTC</time>').format(
        moment.isoformat(), Markup(attribute), f"{moment:%Y-%m-%d %H:%M:%S}"
    )


def until(at: datetime | None) -> Markup:
    """A moment that is waited for; the script counts down to it."""
    return when(at, " data-until")


def render(name: str, **given: Any) -> str:
    """A template as text."""
    return writable(templates().get_template(name).render(**given))


def sentence(reason: str) -> str:
    """A reason as people read it; one that begins with the name of a field keeps it as it is written."""
    return reason if reason.partition(" ")[0].endswith(":") else reason[:1].upper() + reason[1:]


def message_page(
    request: Request,
    settings: Settings,
    heading: str,
    text: str,
    address: str,
    label: str,
    *,
    status: int = 200,
    again: bool = False,
    kept: str = "",
) -> HTMLResponse:
    """A page that says one thing and leads on; ``again``: it asks by itself; ``kept``: what was typed and not said."""
    return page(
        request,
        settings,
        "message.html",
        None,
        status=status,
        heading=heading,
        text=text,
        address=address,
        label=label,
        again=again,
        kept=kept,
    )


def page(
    request: Request,
    settings: Settings,
    name: str,
    person: Person | None,
    status: int = 200,
    stream: str = "",
    headers: Mapping[str, str] | None = None,
    **given: Any,
) -> HTMLResponse:
    """A whole page, with a session for its forms."""
    session = settings.sessions.of(request)
    new = session is None
    session = session or settings.sessions.begin()
    who = person.name if person else ""
    text = render(
        name,
        path=request.url.path,
        person=person,
        mode=settings.access.mode,
        may_act=not settings.actor.why_not(person),
        why_not=settings.actor.why_not(person),
        csrf=settings.sessions.token(session, who),
        stream=stream,
        **given,
    )
    response = HTMLResponse(text, status_code=status, headers=dict(headers or {}))
    if new:
        settings.sessions.put(response, session)
    return response
