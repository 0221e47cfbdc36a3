"""The HTTP API, ``/api/v1``: what the command line can do, for programs in any language. Described by OpenAPI 3.1.

Reading is open to whom pages are open. Writing asks for a bearer token, or for the proxy that proves who people are; a
browser's session writes through the pages' forms only. A start attaches to what runs already, and
an approval counts once; of any other word an ``Idempotency-Key`` makes sure that it is said once.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from coalmine.cli._specs import foreign_adapters
from coalmine.dashboard import api_verbs
from coalmine.dashboard.api_access import (
    Environment,
    Reader,
    Region,
    Run,
    Service,
    Writer,
    address_of,
    check_may,
    meant,
    settings_of,
)
from coalmine.dashboard.bodies import read_body
from coalmine.dashboard.limits import CHECKS
from coalmine.dashboard.people import Denied
from coalmine.dashboard.problems import MEDIA_TYPE
from coalmine.identity.issuers import START
from coalmine.records import DecisionLog, Receipt, RolloutStatus
from coalmine.searching import RolloutRow
from coalmine.spec.base import IDENTIFIER
from coalmine.spec.canary import CanarySpec
from coalmine.spec.credentials import literal_credentials
from coalmine.spec.document import parse_spec
from coalmine.spec.schema import json_schema
from coalmine.timeline import TimelineEntry

LARGEST_SPEC = 1024 * 1024
"""Bytes."""
_CHECKING = ThreadPoolExecutor(1, thread_name_prefix="check-spec")
SPEC_TYPES = frozenset({"application/json", "application/yaml", "application/x-yaml", "text/yaml"})
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}}
    for status, text in (
        (400, "The body cannot be read"),
        (401, "Nobody knows who asks, or the token proves nothing"),
        (403, "This is not allowed"),
        (404, "There is no such rollout"),
        (409, "The rollout refused it; the detail says why"),
        (413, "The body is too large; the detail names the most that is read"),
        (415, "The body is in a form that is not read here"),
        (422, "The input cannot be used; problems name field, value and mend"),
        (429, "Too often"),
        (503, "Temporal or a worker does not answer; the same may succeed later"),
    )
}
router = APIRouter(prefix="/api/v1", responses=_ERRORS, tags=["rollouts"])
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
    rows = await settings_of(request).rollouts.rollouts(
        service=service, environment=environment, region=region, running=running, limit=limit
    )
    return RolloutList(rollouts=rows)


@router.get("/rollouts/{environment}/{service}", summary="Status")
async def status(
    request: Request, reader: Reader, environment: Environment, service: Service, region: Region = None, run: Run = None
) -> RolloutStatus:
    """Everything about a rollout now. A closed one answers from its report."""
    return await settings_of(request).rollouts.status(await meant(request, environment, service, region, run))


@router.get("/rollouts/{environment}/{service}/decisions", summary="Decisions")
async def decisions(
    request: Request, reader: Reader, environment: Environment, service: Service, region: Region = None, run: Run = None
) -> DecisionLog:
    """Every decision with its reason, and every refused input; newest last."""
    return await settings_of(request).rollouts.decisions(await meant(request, environment, service, region, run))


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
    ref = await meant(request, environment, service, region, run)
    return History(entries=await settings_of(request).rollouts.history(ref, everything))


@router.get("/schema", summary="JSON Schema of a spec")
async def schema(reader: Reader) -> dict[str, Any]:
    """As ``coalmine schema`` prints it."""
    return json_schema()


@router.post("/validate", summary="Check a spec", openapi_extra=_SPEC_BODY)
async def validate(request: Request, reader: Reader) -> Valid:
    """Starts nothing and asks nobody; each problem comes with its line and column."""
    settings_of(request).limits.take(CHECKS, reader.name if reader is not None else address_of(request))
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
    check_may(writer, START)
    if during_freeze and not reason.strip():
        raise Denied(422, "reason: it is empty: during_freeze needs one: say why this release cannot wait")
    spec = await _spec(request)
    return await settings_of(request).actor.start(
        spec,
        writer,
        reason=reason,
        advise=advise,
        during_freeze=during_freeze,
        automated=automated,
        authors=author or [],
    )


router.include_router(api_verbs.router)


async def _spec(request: Request) -> CanarySpec:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in SPEC_TYPES:
        raise Denied(415, f"content-type: {kind!r:.80} is not read here: send application/yaml or application/json")
    raw = await read_body(request, LARGEST_SPEC)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Denied(422, f"the body is not UTF-8 text (byte {error.start})") from None
    # A large spec takes a second or two to check: elsewhere, and one after another, so that all others are answered.
    return await asyncio.get_running_loop().run_in_executor(_CHECKING, _parsed, text)


def _parsed(text: str) -> CanarySpec:
    return parse_spec(text, "", foreign_adapters())
