"""Who may read and write by the API, and which rollout a path means."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request

from coalmine.dashboard.clients import client_of, peer_of
from coalmine.dashboard.context import Settings
from coalmine.dashboard.limits import BAD_TOKENS, WRITES
from coalmine.dashboard.people import Denied, Person
from coalmine.searching import RolloutRef
from coalmine.spec.base import IDENTIFIER

RUN_ID = r"^[0-9a-f]{8}-[0-9a-f-]{27}$"
Environment = Annotated[str, Path(pattern=f"^{IDENTIFIER}$", max_length=200, description="As in the spec.")]
Service = Annotated[str, Path(pattern=f"^{IDENTIFIER}$", max_length=200, description="As in the spec.")]
Region = Annotated[
    str | None, Query(pattern=f"^{IDENTIFIER}$", max_length=200, description="For a service that has several.")
]
Run = Annotated[
    str | None,
    Query(pattern=RUN_ID, description="A certain run of the workflow; absent: the latest rollout."),
]


async def api_reader(request: Request) -> Person | None:
    """Who reads; also by a browser's session."""
    settings: Settings = request.app.state.settings
    person = await _bearer(request, settings) or await settings.access.who(request)
    if person is None and not settings.access.anyone_reads:
        raise Denied(401, "nobody knows who asks: send Authorization: Bearer and a token of an issuer trusted here")
    return person


async def api_writer(request: Request) -> Person:
    """Who writes: proved by a token or by the proxy, never by a cookie, and never nobody."""
    settings: Settings = request.app.state.settings
    person = await _bearer(request, settings)
    if person is None and settings.access.mode == "header":
        person = await settings.access.who(request)
    if person is None or not person.proved_by:
        raise Denied(401, "writing needs Authorization: Bearer and a token of an issuer that is trusted here")
    if reason := settings.actor.why_not(person):
        raise Denied(403, reason)
    settings.limits.take(WRITES, person.name)
    return person


def check_may(person: Person, verb: str) -> None:
    """Refuse what somebody's proof is not good for.

    Raises:
        Denied: the token's issuer was not trusted with this verb; says what to add.
    """
    if person.verbs is not None and verb not in person.verbs:
        may = ", ".join(sorted(person.verbs)) or "read"
        raise Denied(
            403,
            f"a token of this issuer may {may}, not {verb}: whoever runs this server adds it to the entry's 'verbs' in "
            "the file of --api-issuers",
        )


def address_of(request: Request) -> str:
    """The address that stands for somebody nobody knows."""
    return client_of(request, settings_of(request).proxies) or peer_of(request)


async def _bearer(request: Request, settings: Settings) -> Person | None:
    try:
        return await settings.bearer.who(request)
    except Denied:
        settings.limits.take(BAD_TOKENS, address_of(request))
        raise


Reader = Annotated[Person | None, Depends(api_reader)]
Writer = Annotated[Person, Depends(api_writer)]


async def meant(request: Request, environment: str, service: str, region: str | None, run: str | None) -> RolloutRef:
    ref = await settings_of(request).rollouts.find(service, environment, region)
    return RolloutRef(ref.workflow_id, run) if run else ref


def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings
