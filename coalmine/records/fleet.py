"""What the fleet of an environment keeps, is asked, and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from coalmine.records.base import Record, RolloutContext
from coalmine.records.moments import Moment


class Ban(Record):
    """A version automation may not start again until a human lifts it."""

    service: str
    version: str
    region: str | None = None
    by: str = ""
    reason: str = ""
    at: Moment | None = None
    rollout_id: str = ""


class Freeze(Record):
    """Nothing may start: of one service, or (None) of the whole environment."""

    environment: str = ""
    """``*`` is every one."""
    service: str | None = None
    by: str
    reason: str
    until: datetime | None = None
    """None = until it is lifted. People type it: ``coalmine.freezing`` says what it lacks, where it lacks its zone."""
    at: Moment | None = None


BrakeAction = Literal["hold", "roll_back"]


class FreezeOrder(Record):
    """The payload of the fleet's update ``freeze``."""

    freeze: Freeze
    brake: BrakeAction | None = None
    """What becomes of the rollouts that run: the emergency brake. None = they go on."""


class Thaw(Record):
    """The payload of the fleet's update ``unfreeze``."""

    environment: str = ""
    service: str | None = None
    by: str


class BrakeRequest(Record):
    """Tell everything in flight to stop (``hold``: paused) or to go back."""

    environment: str
    """``*`` is every one."""
    action: BrakeAction
    by: str
    reason: str
    known: list[str] = []
    """Workflow ids that visibility may not know yet."""
    told: list[str] = []
    """Those that were told already."""


class Braked(Record):
    """Whom one sweep of the brake has told."""

    told: list[str] = []
    """Workflow ids of those that took it, now, or need it no more: they are held by themselves."""
    refused: dict[str, str] = {}
    """Why others did not, by workflow id: they are told again."""


class Brake(Record):
    """The emergency brake of an environment: pulled once, swept until nobody is left to be told."""

    action: BrakeAction
    by: str
    reason: str
    at: Moment
    told: list[str] = []
    """Workflow ids of rollouts that took the word; each has it on its own record."""
    refused: dict[str, str] = {}
    """Why others did not at the last sweep, by workflow id; they are told again until they do, or are at rest."""
    sweeps: int = 0
    done: bool = False
    """A sweep found nobody left who had not taken it."""
    failure: str = ""
    """Why the last sweep did not succeed; it is tried again."""


class Frozen(Record):
    """What is frozen, and what became of the brake that was pulled last."""

    freezes: list[Freeze] = []
    lifted: Freeze | None = None
    brake: Brake | None = None


class FleetRequest(Record):
    """What a rollout or a person asks of the fleet. ``admit`` is answered by the signal ``fleet_answer``."""

    verb: Literal["admit", "ban", "unban", "release"]
    environment: str
    service: str
    version: str
    region: str | None = None
    workflow_id: str = ""
    run_id: str = ""
    request_id: str = ""
    by: str = ""
    automated: bool = False
    reason: str = ""
    rollout_id: str = ""
    context: RolloutContext | None = None
    wants_slot: bool = False
    """Of ``admit``: it rolls out for real, and waits where the environment's slots are taken."""
    frozen: Freeze | None = None
    """The freeze of every environment, as whoever carries the request found it."""


class SlotPlace(Record):
    """Where a rollout stands that asked for a slot."""

    position: int = 0
    """0 = it has one; else its place among those that wait, from 1."""
    waiting: int = 0
    """How many wait."""
    limit: int | None = None


class SlotBook(Record):
    """Who rolls out in an environment now, and who waits to, in order of arrival; at most one of each workflow id."""

    limit: int | None = None
    """Rollouts at once; None = no limit."""
    set_by: str = ""
    set_at: Moment | None = None
    reason: str = ""
    holders: list[FleetRequest] = []
    """By the ``admit`` each of them asked with."""
    waiting: list[FleetRequest] = []
    released: list[str] = []
    """The newest requests that are over."""


class SlotLimit(Record):
    """The payload of the fleet's update ``slots``: how many rollouts may run at once."""

    limit: int | None = Field(default=None, ge=1, le=10_000)
    """None = no limit."""
    by: str
    reason: str = ""


class FlightCheck(Record):
    """Which of these workflows no longer run."""

    environment: str
    workflow_ids: list[str]


class FlightFound(Record):
    """Those that do not run: closed in whatever way, or unknown."""

    gone: list[str] = []


class FleetAnswer(Record):
    """The fleet's answer to ``admit``: the number of the rollout, and the ban if there is one."""

    request_id: str
    number: int
    ban: Ban | None = None
    freeze: Freeze | None = None
    slot: SlotPlace | None = None
    """None where none was asked for."""


class FleetState(Record):
    """One environment: who is banned, and how many rollouts each version had. Carried over continue-as-new."""

    environment: str
    bans: list[Ban] = []
    numbers: dict[str, int] = {}
    """Rollouts so far, by ``<service>[/<region>]/<version>``."""
    answered: dict[str, FleetAnswer] = {}
    """The last answers by request id: a repeated request gets the same number."""
    freezes: list[Freeze] = []
    brake: Brake | None = None
    slots: SlotBook = SlotBook()
