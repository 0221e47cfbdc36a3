"""The HTTP API, ``/api/v1``: what the command line can do, for programs in any language. Described by OpenAPI 3.1.

Reading is open to whom pages are open. Writing asks for a bearer token, or for the proxy that proves who people are; a
browser's session writes through the pages' forms only. Saying the same again is harmless: a start attaches to what
runs, an approval counts once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from coalmine.cli._specs import foreign_routers
from coalmine.dashboard import csrf
from coalmine.dashboard.acting import Said
from coalmine.dashboard.context import Settings
from coalmine.dashboard.limits import BAD_TOKENS, WRITES
from coalmine.dashboard.people import Denied, Person
from coalmine.dashboard.problems import MEDIA_TYPE
from coalmine.records import CommandReceipt, DecisionLog, Receipt, RolloutStatus, Verb
from coalmine.searching import RolloutRef, RolloutRow
from coalmine.spec.canary import IDENTIFIER, CanarySpec
from coalmine.spec.credentials import literal_credentials
from coalmine.spec.document import parse_spec
from coalmine.spec.durations import Duration
from coalmine.spec.schema import json_schema
from coalmine.timeline import TimelineEntry

LARGEST_SPEC = 1024 * 1024
"""Bytes."""
SPEC_TYPES = frozenset({"application/json", "application/yaml", "application/x-yaml", "text/yaml"})
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}}
    for status, text in (
        (400, "The body cannot be read"),
        (401, "Nobody knows who asks, or the token proves nothing"),
        (403, "This is not allowed"),
        (404, "There is no such rollout"),
        (409, "The rollout refused it; the detail says why"),
        (413, "The body is too large"),
        (415, "The body is in a form that is not read here"),
        (422, "The input cannot be used; problems name field, value and mend"),
        (429, "Too often"),
        (503, "Temporal or a worker does not answer; the same may succeed later"),
    )
}
router = APIRouter(prefix="/api/v1", responses=_ERRORS, tags=["rollouts"])
Environment = Annotated[str, Path(pattern=f"^{IDENTIFIER}$", max_length=200, description="As in the spec.")]
Service = Annotated[str, Path(pattern=f"^{IDENTIFIER}$", max_length=200, description="As in the spec.")]
Region = Annotated[
    str | None, Query(pattern=f"^{IDENTIFIER}$", max_length=200, description="For a service that has several.")
]
Run = Annotated[
    str | None,
    Query(
        pattern=r"^[0-9a-f]{8}-[0-9a-f-]{27}$", description="A certain run of the workflow; absent: the latest rollout."
    ),
]
_SPEC_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A spec as in a file: YAML, or JSON (docs/spec.md).",
        "content": {
            "application/yaml": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}


class RolloutList(BaseModel):
    """Rollouts, open ones first, then the latest closed."""

    rollouts: list[RolloutRow]


class History(BaseModel):
    """What happened, oldest first."""

    entries: list[TimelineEntry]


class Warned(BaseModel):
    """Something that works, and should not stay so."""

    field: str
    message: str
    line: int = 0
    column: int = 0


class Valid(BaseModel):
    """A spec that can be used."""

    valid: Literal[True] = True
    service: str
    environment: str
    region: str | None = None
    baseline_version: str
    version: str
    steps: int
    warnings: list[Warned] = []


class Command(BaseModel):
    """What is said, and with what was seen. Every field may be left out."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    reason: str = Field(default="", max_length=2_000, description="It goes into the record. promote needs one.")
    rollout_id: str = Field(
        default="", max_length=700, description="Refuse when the service's latest rollout is another by now."
    )


class GateCommand(Command):
    """What is said at a gate."""

    gate: str | None = Field(default=None, min_length=1, max_length=200, description="Absent: the one that waits.")
    attempt: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Refuse when the gate is at another attempt by now."
    )


class ExtendCommand(Command):
    """How much longer."""

    for_: Duration = Field(default=timedelta(minutes=30), alias="for", description="Such as 30m.")


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


async def _bearer(request: Request, settings: Settings) -> Person | None:
    try:
        return await settings.bearer.who(request)
    except Denied:
        settings.limits.take(BAD_TOKENS, request.client.host if request.client else "")
        raise


Reader = Annotated[Person | None, Depends(api_reader)]
Writer = Annotated[Person, Depends(api_writer)]


@router.get("/rollouts", summary="List rollouts")
async def list_rollouts(
    request: Request,
    reader: Reader,
    service: Annotated[str | None, Query(pattern=f"^{IDENTIFIER}$", max_length=200)] = None,
    environment: Annotated[str | None, Query(pattern=f"^{IDENTIFIER}$", max_length=200)] = None,
    region: Region = None,
    state: Annotated[Literal["open", "closed"] | None, Query(description="Absent: both.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 50,
) -> RolloutList:
    """By their search attributes: needs no worker."""
    running = None if state is None else state == "open"
    rows = await _settings(request).rollouts.rollouts(
        service=service, environment=environment, region=region, running=running, limit=limit
    )
    return RolloutList(rollouts=rows)


@router.get("/rollouts/{environment}/{service}", summary="Status")
async def status(
    request: Request, reader: Reader, environment: Environment, service: Service, region: Region = None, run: Run = None
) -> RolloutStatus:
    """Everything about a rollout now. A closed one answers from its report."""
    return await _settings(request).rollouts.status(await _meant(request, environment, service, region, run))


@router.get("/rollouts/{environment}/{service}/decisions", summary="Decisions")
async def decisions(
    request: Request, reader: Reader, environment: Environment, service: Service, region: Region = None, run: Run = None
) -> DecisionLog:
    """Every decision with its reason, and every refused input; newest last."""
    return await _settings(request).rollouts.decisions(await _meant(request, environment, service, region, run))


@router.get("/rollouts/{environment}/{service}/history", summary="History")
async def history(
    request: Request,
    reader: Reader,
    environment: Environment,
    service: Service,
    region: Region = None,
    run: Run = None,
    everything: Annotated[bool, Query(description="Timers, ledger writes and messages too.")] = False,
) -> History:
    """What happened, from Temporal's own history: needs no worker."""
    ref = await _meant(request, environment, service, region, run)
    return History(entries=await _settings(request).rollouts.history(ref, everything))


@router.get("/schema", summary="JSON Schema of a spec")
async def schema(reader: Reader) -> dict[str, Any]:
    """As ``coalmine schema`` prints it."""
    return json_schema()


@router.post("/validate", summary="Check a spec", openapi_extra=_SPEC_BODY)
async def validate(request: Request, reader: Reader) -> Valid:
    """Starts nothing and asks nobody; each problem comes with its line and column."""
    spec = await _spec(request)
    warnings = [
        Warned(field=one.field, message=one.message, line=one.line, column=one.column)
        for one in literal_credentials(spec, "")
    ]
    return Valid(
        service=spec.service,
        environment=spec.environment,
        region=spec.region,
        baseline_version=spec.arms.baseline.version,
        version=spec.arms.canary.version,
        steps=len(spec.steps),
        warnings=warnings,
    )


@router.post("/rollouts", summary="Start a rollout, or attach to it", openapi_extra=_SPEC_BODY)
async def start(
    request: Request,
    writer: Writer,
    reason: Annotated[str, Query(max_length=2_000)] = "",
    advise: Annotated[bool, Query(description="Judge and report, but shift no traffic.")] = False,
    during_freeze: Annotated[bool, Query(description="Though it is frozen; needs a reason.")] = False,
    automated: Annotated[bool, Query(description="Automation starts it: it may not start banned versions.")] = True,
    author: Annotated[list[str] | None, Query(description="Who wrote the change, for four eyes.")] = None,
) -> Receipt:
    """The same version again attaches to the rollout that runs, or tells how it ended: sending it twice is harmless."""
    if during_freeze and not reason.strip():
        raise Denied(422, "reason: it is empty: during_freeze needs one: say why this release cannot wait")
    spec = await _spec(request)
    return await _settings(request).actor.start(
        spec,
        writer,
        reason=reason,
        advise=advise,
        during_freeze=during_freeze,
        automated=automated,
        authors=author or [],
    )


def _gate_verb(verb: Verb, line: str) -> None:
    async def say(
        request: Request,
        writer: Writer,
        environment: Environment,
        service: Service,
        region: Region = None,
        command: Annotated[GateCommand | None, Body()] = None,
    ) -> CommandReceipt:
        given = command or GateCommand()
        said = Said(verb, given.reason, given.gate, given.attempt, None, given.rollout_id)
        return await _say(request, writer, environment, service, region, said)

    _add(verb, line, say)


def _plain_verb(verb: Verb, line: str) -> None:
    async def say(
        request: Request,
        writer: Writer,
        environment: Environment,
        service: Service,
        region: Region = None,
        command: Annotated[Command | None, Body()] = None,
    ) -> CommandReceipt:
        given = command or Command()
        said = Said(verb, given.reason, rollout_id=given.rollout_id)
        return await _say(request, writer, environment, service, region, said)

    _add(verb, line, say)


def _extend() -> None:
    async def say(
        request: Request,
        writer: Writer,
        environment: Environment,
        service: Service,
        region: Region = None,
        command: Annotated[ExtendCommand | None, Body()] = None,
    ) -> CommandReceipt:
        given = command or ExtendCommand()
        said = Said(Verb.EXTEND, given.reason, longer=given.for_, rollout_id=given.rollout_id)
        return await _say(request, writer, environment, service, region, said)

    _add(Verb.EXTEND, "Lengthen the step, the bake or a deadline", say)


def _add(verb: Verb, line: str, say: Any) -> None:
    path = f"/rollouts/{{environment}}/{{service}}/{verb}"
    router.add_api_route(path, say, methods=["POST"], summary=line, operation_id=str(verb), name=str(verb))


_gate_verb(Verb.APPROVE, "Open the gate that waits")
_gate_verb(Verb.REJECT, "Say no at a gate: the release goes back")
_plain_verb(Verb.PAUSE, "Stop advancing; looks go on, and harm still rolls back")
_plain_verb(Verb.RESUME, "Go on after a pause or a hold")
_extend()
_plain_verb(Verb.PROMOTE, "Go to 100 % now, past steps, gates and the proof of no harm")
_plain_verb(Verb.ROLLBACK, "Restore the route as it was")


async def _say(
    request: Request, writer: Person, environment: str, service: str, region: str | None, said: Said
) -> CommandReceipt:
    ref = await _meant(request, environment, service, region, None)
    receipt = await _settings(request).actor.say(ref, said, writer)
    request.app.state.feed.hurry(ref)
    return receipt


async def _meant(request: Request, environment: str, service: str, region: str | None, run: str | None) -> RolloutRef:
    ref = await _settings(request).rollouts.find(f"{environment}/{service}", region=region)
    return RolloutRef(ref.workflow_id, run) if run else ref


async def _spec(request: Request) -> CanarySpec:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in SPEC_TYPES:
        raise Denied(415, f"content-type: {kind!r:.80} is not read here: send application/yaml or application/json")
    raw = await csrf.read_body(request, LARGEST_SPEC)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Denied(422, f"the body is not UTF-8 text (byte {error.start})") from None
    return parse_spec(text, "", foreign_routers())


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings
