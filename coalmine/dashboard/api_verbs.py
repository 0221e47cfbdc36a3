"""The verbs over HTTP: one path each, with what is said in the body."""

# The annotations of a route are read when it is made: here one is a parameter, so they must be no text.

import hashlib
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from coalmine.dashboard.acting import Said
from coalmine.dashboard.api_access import Environment, Region, Service, api_writer, check_may, meant, settings_of
from coalmine.dashboard.people import Person
from coalmine.records import CommandReceipt, Verb
from coalmine.spec.durations import Duration

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="Chosen by the caller, such as a UUID: the same words with the same key are said once to the "
        "rollout's run, and get the first answer.",
    ),
]


class ProvedFirst(APIRoute):
    """A verb's path; FastAPI reads what was said before it asks who says it, and so anybody could have much read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """With who says it, whom the handler finds as ``request.state.writer``."""
        answer = super().get_route_handler()

        async def proved(request: Request) -> Response:
            writer = await api_writer(request)
            check_may(writer, self.name)
            request.state.writer = writer
            return await answer(request)

        return proved


router = APIRouter(route_class=ProvedFirst)


class Command(BaseModel):
    """What is said, and with what was seen. Every field may be left out."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    reason: str = Field(default="", max_length=2_000, description="It goes into the record. promote needs one.")
    rollout_id: str = Field(
        default="", max_length=700, description="Refuse when the service's latest rollout is another by now."
    )

    def said(self, verb: Verb) -> Said:
        """What it says to a rollout."""
        return Said(verb, self.reason, rollout_id=self.rollout_id)


class GateCommand(Command):
    """What is said at a gate."""

    gate: str | None = Field(default=None, min_length=1, max_length=200, description="Absent: the one that waits.")
    attempt: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Refuse when the gate is at another attempt by now."
    )

    def said(self, verb: Verb) -> Said:
        """With the gate that was seen."""
        return replace(super().said(verb), gate=self.gate, attempt=self.attempt)


class ExtendCommand(Command):
    """How much longer."""

    for_: Duration = Field(default=timedelta(minutes=30), alias="for", description="Such as 30m.")

    def said(self, verb: Verb) -> Said:
        """With the time that is added."""
        return replace(super().said(verb), longer=self.for_)


def _once(key: str | None, who: str, verb: Verb, given: Command) -> str | None:
    """What identifies one saying: the key of this person for these very words, so that nobody gets another's answer."""
    if key is None:
        return None
    said = json.dumps([key, who, str(verb), given.model_dump(mode="json")])
    return f"api-{hashlib.sha256(said.encode()).hexdigest()[:40]}"


def _add(verb: Verb, line: str, body: type[Command] = Command) -> None:
    async def say(
        request: Request,
        environment: Environment,
        service: Service,
        region: Region = None,
        command: Annotated[body | None, Body()] = None,  # type: ignore[valid-type]
        key: IdempotencyKey = None,
    ) -> CommandReceipt:
        writer: Person = request.state.writer
        given: Command = command or body()
        ref = await meant(request, environment, service, region, None)
        said = replace(given.said(verb), once=_once(key, writer.name, verb, given))
        receipt = await settings_of(request).actor.say(ref, said, writer)
        request.app.state.feed.hurry(ref)
        return receipt

    path = f"/rollouts/{{environment}}/{{service}}/{verb}"
    router.add_api_route(path, say, methods=["POST"], summary=line, operation_id=str(verb), name=str(verb))


_add(Verb.APPROVE, "Open the gate that waits", GateCommand)
_add(Verb.REJECT, "Say no at a gate: the release goes back", GateCommand)
_add(Verb.PAUSE, "Stop advancing; looks go on, and harm still rolls back")
_add(Verb.RESUME, "Go on after a pause or a hold")
_add(Verb.EXTEND, "Lengthen the step, the bake or a deadline", ExtendCommand)
_add(Verb.PROMOTE, "Go to 100 % now, past steps, gates and the proof of no harm")
_add(Verb.ROLLBACK, "Restore the route as it was")
