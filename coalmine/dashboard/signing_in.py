"""Logging in and out at the identity provider."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from coalmine.dashboard import csrf
from coalmine.dashboard.auth.oidc import CALLBACK, LOGIN, LOGOUT, ByOidc, local_path
from coalmine.dashboard.clients import client_of
from coalmine.dashboard.context import Settings, message_page
from coalmine.dashboard.limits import CALLBACKS, FAILED_LOGINS
from coalmine.dashboard.people import Denied

router = APIRouter(include_in_schema=False)


@router.get(LOGIN)
async def login(request: Request) -> Response:
    """Lead to the provider."""
    settings, provider = _provider(request)
    client = client_of(request, settings.proxies)
    # Behind a proxy that does not say for whom it asks, one address stands for everybody: nobody may lock them all out.
    if client is not None:
        settings.limits.check(FAILED_LOGINS, client)
    where, flow = await provider.begin(request.query_params.get("next", "/"))
    response = RedirectResponse(where, status_code=302)
    settings.sessions.put_login(response, flow)
    return response


@router.get(CALLBACK)
async def callback(request: Request) -> Response:
    """Take who comes back."""
    settings, provider = _provider(request)
    flow, given = settings.sessions.take_login(request), dict(request.query_params)
    provider.check_begun(given, flow)
    settings.limits.take(CALLBACKS, flow["state"])
    try:
        person = await provider.finish(given, flow)
    except Denied:
        client = client_of(request, settings.proxies)
        if client is not None:
            with suppress(Denied):
                settings.limits.take(FAILED_LOGINS, client)
        raise
    response = RedirectResponse(local_path(flow.get("next", "/")), status_code=303)
    # A new session: one that somebody planted in this browser before does not become this person's.
    settings.sessions.put(response, settings.sessions.begin(person.name, person.groups))
    settings.sessions.end_login(response)
    return response


@router.post(LOGOUT)
async def logout(request: Request) -> Response:
    """Forget the session; that of the provider is theirs to end."""
    settings, provider = _provider(request)
    person = await provider.who(request)
    if person is not None:
        csrf.check_token(request, await csrf.read_form(request), settings.sessions, person)
    response = message_page(
        request,
        settings,
        heading="You are signed out",
        text="The identity provider may still know you: sign out there too on a machine that is not yours.",
        address=LOGIN,
        label="Sign in again",
    )
    settings.sessions.end(request, response)
    return response


def _provider(request: Request) -> tuple[Settings, ByOidc]:
    settings: Settings = request.app.state.settings
    if not isinstance(settings.access, ByOidc):
        raise Denied(404, "nobody logs in here: this server runs with another --auth than oidc")
    return settings, settings.access
