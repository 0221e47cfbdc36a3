"""The pages: fleet, one rollout, the confirmation before something is said, and their live updates."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from coalmine.cli import _words
from coalmine.command_input import LONGEST_TEXT
from coalmine.dashboard import csrf, fleet_page, rollout_page
from coalmine.dashboard.acting import Said
from coalmine.dashboard.api_access import RUN_ID
from coalmine.dashboard.context import Settings, page, sentence
from coalmine.dashboard.first_answers import FirstAnswers, once_of
from coalmine.dashboard.fleet_view import act_path, path_of, read_query
from coalmine.dashboard.limits import WRITES
from coalmine.dashboard.people import Denied, Person
from coalmine.dashboard.problems import status_of
from coalmine.dashboard.watch import as_listed, see
from coalmine.errors import CoalmineError, InputError, RolloutNotFound, TemporalUnavailable
from coalmine.records import Phase, RolloutStatus, Verb
from coalmine.searching import RolloutRef
from coalmine.spec.durations import parse_duration

router = APIRouter(include_in_schema=False)
_RUN = re.compile(RUN_ID)
SAID_AGAIN_WITHIN = 3_600
"""Seconds for which a word that nobody answered is the same word, said again from the page that told so."""
MEANING = {
    Verb.APPROVE: "Opens the gate that waits.",
    Verb.REJECT: "Sends the release back before it has all traffic.",
    Verb.PAUSE: "Stops advancing. Looks go on, and a failing guardrail still rolls back.",
    Verb.RESUME: "Goes on after a pause or a hold; what held it is taken note of.",
    Verb.EXTEND: "Lengthens the step, the gate, the hold, the bake or the rollback window.",
    Verb.PROMOTE: "Goes to 100 % now, past steps, gates and the proof of no harm. It is recorded as an override.",
    Verb.ROLLBACK: "Restores the route as it was, whatever is going on.",
}


async def reader(request: Request) -> Person | None:
    """Who reads a page.

    Raises:
        LoginNeeded: they have to prove who they are first, and can do it here.
        Denied: they may not read.
    """
    settings: Settings = request.app.state.settings
    person = await settings.access.who(request)
    if person is None and not settings.access.anyone_reads:
        query = f"?{request.url.query}" if request.url.query else ""
        where = settings.access.login(f"{request.url.path}{query}")
        if where is not None and request.method == "GET":
            raise LoginNeeded(where)
        if where is not None:
            raise Denied(401, "your session is over, and nothing was said: load the page again to sign in")
        raise Denied(401, "nobody knows who you are: come by the proxy that logs people in")
    return person


class LoginNeeded(Exception):
    """Somebody has to log in first."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


@router.get("/")
async def fleet(request: Request) -> Response:
    """Every rollout."""
    settings: Settings = request.app.state.settings
    person = await reader(request)
    query = read_query(request.query_params)
    known = await request.app.state.feed.current()
    given = await fleet_page.whole(request.app.state.feed, known, query)
    stream = f"/events/fleet{query.address().removeprefix('/')}"
    return page(request, settings, "fleet.html", person, stream=stream, **given)


@router.get("/events/fleet")
async def fleet_events(request: Request) -> Response:
    """What changes in the list."""
    await stream_reader(request)
    return fleet_page.stream(request, request.app.state.feed, read_query(request.query_params))


@router.get("/rollouts/{environment}/{service}")
async def rollout(request: Request, environment: str, service: str) -> Response:
    """One rollout."""
    settings: Settings = request.app.state.settings
    person = await reader(request)
    ref, here = await _meant(request, environment, service)
    said = settings.sessions.unseal("said", request.query_params.get("said", ""), 60)
    try:
        seen = await see(settings.rollouts, ref)
    except TemporalUnavailable as error:
        # What was said a moment ago is said, also where nobody tells what became of it.
        return await _silence(request, person, ref, here, error, said if isinstance(said, str) else "")
    return page(
        request,
        settings,
        "rollout.html",
        person,
        stream=f"/events{here}",
        **rollout_page.whole(seen, settings, person),
        said=said if isinstance(said, str) else "",
    )


@router.get("/events/rollouts/{environment}/{service}")
async def rollout_events(request: Request, environment: str, service: str) -> Response:
    """What changes in one rollout."""
    person = await stream_reader(request)
    ref, _ = await _meant(request, environment, service)
    return rollout_page.stream(request, request.app.state.feed, ref, person)


@router.get("/act/{environment}/{service}/{verb}")
async def confirm(request: Request, environment: str, service: str, verb: str) -> Response:
    """The step before something is said: what it means, and why."""
    person = await reader(request)
    meant = _verb(verb)
    ref, here = await _meant(request, environment, service)
    rollouts = request.app.state.settings.rollouts
    try:
        status = await rollouts.status(ref)
    except TemporalUnavailable:
        listed = await as_listed(rollouts, ref) if meant is Verb.ROLLBACK else None
        if listed is None:
            raise
        return _confirmation(request, person, listed, meant, here, run_id=listed.run_id)
    return _confirmation(request, person, status, meant, here)


@router.post("/act/{environment}/{service}/{verb}")
async def act(request: Request, environment: str, service: str, verb: str) -> Response:
    """Say it."""
    settings: Settings = request.app.state.settings
    person = await reader(request)
    if person is None or settings.actor.why_not(person):
        raise Denied(403, settings.actor.why_not(person))
    form = await csrf.read_form(request)
    request.state.form = form
    csrf.check_token(request, form, settings.sessions, person)
    settings.limits.take(WRITES, person.name)
    meant = _verb(verb)
    ref, here = await _meant(request, environment, service)
    answers: FirstAnswers = request.app.state.first_answers
    try:
        once = once_of(form.get("once", ""), ref.workflow_id, person.name, meant)
        said = replace(_said(meant, form), once=once)
        receipt = await answers.of(said.once, lambda: settings.actor.say(ref, said, person))
    except CoalmineError as error:
        if isinstance(error, RolloutNotFound):
            raise
        status = await settings.rollouts.status(ref)
        return _confirmation(request, person, status, meant, here, error, form)
    request.app.state.feed.hurry(ref)
    told = settings.sessions.seal("said", f"{str(meant).capitalize()}: {receipt.message}")
    return RedirectResponse(f"{here}{'&' if '?' in here else '?'}{urlencode({'said': told})}", status_code=303)


async def stream_reader(request: Request) -> Person | None:
    """Who follows a page: a stream leads nowhere else."""
    try:
        return await reader(request)
    except LoginNeeded:
        raise Denied(401, "the session is over: load the page again") from None


def _confirmation(
    request: Request,
    person: Person | None,
    status: RolloutStatus,
    verb: Verb,
    here: str,
    error: CoalmineError | None = None,
    form: dict[str, str] | None = None,
    run_id: str | None = None,
) -> Response:
    """``run_id``: it is for that run alone, since nobody tells which rollout it is."""
    settings: Settings = request.app.state.settings
    gate = status.gate if verb in (Verb.APPROVE, Verb.REJECT) and status.phase is Phase.GATED else None
    refused = settings.actor.why_not(person)
    if not refused and error is None and verb not in status.can_send and verb is not Verb.ROLLBACK:
        refused = f"{verb} means nothing while the rollout is {_words.standing(status)}."
    form = form or {}
    again = settings.sessions.unseal("once", request.query_params.get("once", ""), SAID_AGAIN_WITHIN)
    return page(
        request,
        settings,
        "act.html",
        person,
        status=200 if error is None else status_of(error),
        verb=str(verb),
        headline=f"{_words.versions(status)} in {_words.place(status)}",
        standing=_words.standing(status),
        meaning=MEANING[verb],
        refused=refused,
        error=str(error) if error is not None else "",
        back=here,
        action=act_path(status, verb, run_id),
        # What was refused was not said: it counts anew, and so does whatever is opened again on purpose.
        # But for what nobody answered: it may still be heard, and is the same word when it is said again.
        once=again if isinstance(again, str) else secrets.token_urlsafe(18),
        rollout_id=status.rollout_id,
        run_id=status.run_id,
        gate=gate.name if gate else "",
        attempt=gate.attempt if gate else 1,
        waits=_words.gate(status) if gate else "",
        needs_reason=verb is Verb.PROMOTE,
        reason=form.get("reason", ""),
        longer=form.get("for", ""),
        signed=bool(person and person.proved_by and settings.actor.key),
    )


async def _silence(
    request: Request, person: Person | None, ref: RolloutRef, here: str, error: TemporalUnavailable, said: str
) -> Response:
    """Nobody answers for a rollout: why, what was said before, and the one word that can still be left for it."""
    settings: Settings = request.app.state.settings
    listed = None
    if not settings.actor.why_not(person):
        with suppress(CoalmineError):
            listed = await as_listed(settings.rollouts, ref)
    return page(
        request,
        settings,
        "silence.html",
        person,
        status=status_of(error),
        # It tells when somebody answers: the page asks again by itself, at the pace of all that wait with it.
        stream=f"/events{here}",
        text=sentence(str(error)),
        address=here,
        said=said,
        rollback=act_path(listed, Verb.ROLLBACK) if listed is not None else "",
    )


def _said(verb: Verb, form: dict[str, str]) -> Said:
    attempt = form.get("attempt", "")
    if attempt and not (attempt.isascii() and attempt.isdigit() and len(attempt) < 7 and int(attempt)):
        raise InputError(f"attempt: {attempt!r:.40} is not a number from 1 on")
    longer: timedelta | None = None
    if verb is Verb.EXTEND:
        try:
            longer = parse_duration(form.get("for") or "30m")
        except ValueError as error:
            raise InputError(f"for: {error}") from None
    reason = form.get("reason", "")
    if len(reason) > LONGEST_TEXT:
        raise InputError(f"reason: it has {len(reason):,} characters, and {LONGEST_TEXT:,} is the most: shorten it")
    gated = verb in (Verb.APPROVE, Verb.REJECT)
    return Said(
        verb,
        reason,
        (form.get("gate") or None) if gated else None,
        int(attempt) if attempt and gated else None,
        longer,
        form.get("rollout_id", ""),
        form.get("run_id", ""),
    )


def _verb(text: str) -> Verb:
    if text not in set(Verb):
        raise Denied(404, f"{text!r:.40} is nothing that can be said: {', '.join(Verb)}")
    return Verb(text)


async def _meant(request: Request, environment: str, service: str) -> tuple[RolloutRef, str]:
    """The rollout an address means, and its page's own address."""
    settings: Settings = request.app.state.settings
    region, run = request.query_params.get("region") or None, request.query_params.get("run") or None
    if run is not None and not _RUN.fullmatch(run):
        raise Denied(400, f"run: {run!r:.80} is no run's id: leave it out, or open the rollout from the list")
    ref = await settings.rollouts.find(service, environment, region)
    here = path_of(environment, service, region, run)
    return (RolloutRef(ref.workflow_id, run) if run else ref), here
