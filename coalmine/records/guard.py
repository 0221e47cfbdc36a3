"""What the traffic guard of an environment remembers, is told, finds and writes."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from coalmine.records.base import Record, RolloutContext, Weights
from coalmine.records.moments import Moment
from coalmine.records.record import LedgerWrite, NotifyRequest
from coalmine.spec.canary import Route
from coalmine.spec.channels import Notifier
from coalmine.spec.durations import Duration
from coalmine.spec.ledger import Ledger


def guard_id(environment: str) -> str:
    """The workflow id of an environment's traffic guard."""
    return f"guard/{environment}"


class GuardSettings(Record):
    """How often the guard looks, and what it does about what it finds."""

    every: Duration = timedelta(minutes=1)
    policy: Literal["restore", "tell"] = "restore"
    grace: Duration = timedelta(minutes=2)
    """How long a finding must last before it is restored: time for people, or for a new rollout, to come first."""
    by: str = ""
    """Who set it so, as told."""


class Watched(Record):
    """A route that no rollout owns any more, and what it has to show until the next one does."""

    workflow_id: str
    run_id: str
    rollout_id: str
    service: str
    environment: str
    region: str | None = None
    route: Route
    baseline: str
    """The backend, as ``canary``."""
    canary: str
    rest: Weights
    """Percent by backend that the end of the rollout left, or should have left."""
    ended: str
    """How: ``promoted`` ``rolled_back`` ``terminated`` ``timed_out`` ..."""
    closed_at: Moment | None = None
    ledger: Ledger
    notify: list[Notifier] = []


FindingKind = Literal["split", "wrong_arm", "unreadable"]


class RouteFinding(Record):
    """A route that is not as it has to be, and has no live owner who would see to it."""

    workflow_id: str
    kind: FindingKind
    reason: str
    """One sentence."""
    weights: Weights = {}
    generation: int = 0
    restorable: bool = False
    """Restoring would write the weights of ``Watched.rest``; not so where traffic is on a backend nobody here knows."""
    beside: bool = False
    """A rollout runs that owns no route; once it is over, the route is looked at anew."""


class StuckRollout(Record):
    """An open rollout whose workflow tasks keep failing: it does nothing, and hears nobody."""

    workflow_id: str
    run_id: str
    environment: str
    reason: str
    """One sentence."""
    mend: str
    """What people can do, with the commands."""
    watched: Watched | None = None
    """Whom to tell and which ledger; None where its history cannot be read, or has not been yet."""
    unread: bool = False
    """People have yet to be told, once its history says whom."""


class SurveyRequest(Record):
    """Look at every route of an environment that a rollout has ever written."""

    environment: str
    known: dict[str, str] = {}
    """Run id by workflow id of what the guard remembers: the survey tells only what is new."""
    unlisted: list[Watched] = []
    """Routes to look at though Temporal no longer lists their rollouts."""
    stuck: dict[str, str] | None = None
    """Workflow id by run id of the rollouts that people were told are stuck; None from older builds."""


Freed = Literal["goes_on", "closed"]


class Survey(Record):
    """What was found, and what is new."""

    findings: list[RouteFinding] = []
    watched: list[Watched] = []
    """New to the guard."""
    unlisted: list[str] = []
    """Workflow ids the guard knows and Temporal no longer lists."""
    live: list[str] = []
    """Workflow ids of rollouts that run and own their routes."""
    beside: list[str] = []
    """Workflow ids of rollouts that run and own no route: they only advise, or wait long to be admitted."""
    looked: int = 0
    """Routes that were read, or tried to."""
    cut: bool = False
    """There were more rollouts than a survey reads."""
    stuck: list[StuckRollout] = []
    also_stuck: list[str] = []
    """Run ids of those that are stuck beyond as many as are remembered."""
    freed: dict[str, Freed] | None = None
    """What became, by run id, of those in ``SurveyRequest.stuck`` that are stuck no longer; None where none was asked
    about, and from older workers."""
    unknown: dict[str, str] = {}
    """Why nobody can say where a rollout's route should rest, by workflow id: its history cannot be read."""


class GuardRestoreRequest(Record):
    """Put a route to rest as the successor of a dead owner, unless somebody owns it by now."""

    watched: Watched
    generation: int
    """One above what the finding's read showed: whoever wrote since wins."""


class GuardRestored(Record):
    """Whether the route reads back right; if not, why nothing was written."""

    done: bool
    reason: str = ""


class RecallRequest(Record):
    """Tell what the run before a reset left on the route; ``run_id`` is the run that the reset made."""

    workflow_id: str
    run_id: str
    context: RolloutContext | None = None


class Recalled(Record):
    """What the run before should have left; None where no reset made this one, none before it wrote the route, or a
    later rollout has since."""

    left: Watched | None = None
    before: Weights = {}
    """What the route was before that run: where it was promoted, what a human's rollback restores."""
    later: str = ""
    """The rollout that has written the route since; empty where none has, and from older workers."""
    taken: Watched | None = None
    """What that one should have left, where the reset ended it in the middle: nobody else is left to put it back."""
    rollout_id: str = ""
    """Under which the runs before kept their record; empty where none got its number, and from older workers."""
    run_id: str = ""
    """The run that asked; where a reset copied the answer, not the one that reads it. Empty from older workers."""


class ArchiveClosedRequest(Record):
    """Keep the histories of rollouts that were terminated or timed out."""

    environment: str
    since: Moment | None = None
    """Those that closed before are dealt with."""


class ArchivedClosed(Record):
    """What was kept now."""

    archived: list[str] = []
    """Run ids."""
    failed: list[str] = []
    """What could not be kept and is tried again, in sentences."""
    until: Moment | None = None
    """All that closed up to then is dealt with."""


class OpenFinding(Record):
    """A finding that is not mended yet."""

    finding: RouteFinding
    since: Moment
    told: bool = False
    failure: str = ""
    """Why the last try to restore it did nothing."""


class OpenStuck(Record):
    """A rollout that is stuck still."""

    stuck: StuckRollout
    since: Moment


class GuardState(Record):
    """One environment's guard, all that continue-as-new carries. What grows is bounded in ``coalmine.guarding``."""

    environment: str
    settings: GuardSettings = GuardSettings()
    number: str = ""
    """The last part of the id its ledger entries carry: one chain for each life of the guard."""
    off: bool = False
    watched: dict[str, Watched] = {}
    unlisted: list[str] = []
    open: dict[str, OpenFinding] = {}
    stuck: dict[str, OpenStuck] = {}
    """By run id."""
    restored: dict[str, list[Moment]] = {}
    """When routes were put back lately, by workflow id."""
    looks: int = 0
    looked: int = 0
    live: int = 0
    last_look: Moment | None = None
    failure: str = ""
    """Why the last look saw nothing, or of which routes it cannot tell where they should rest."""
    archived_until: Moment | None = None
    """Histories of dead rollouts that closed before are kept beside their ledger."""
    archived: int = 0
    archive_failure: str = ""
    """What could not be kept at the last look."""
    sequence: int = 0
    messages: int = 0
    backlog: list[LedgerWrite] = []
    outbox: list[NotifyRequest] = []
    not_taken: str = ""
    """Why a ledger or a channel took nothing when something was handed over last."""
    forgotten: int = 0
    """Entries and messages that nobody took, and that had to make room for newer ones."""
    offers_all: bool = True
    """What a look finds is handed over once before the oldest is forgotten; not so in histories of older builds."""


class GuardStatus(Record):
    """The guard as people see it."""

    environment: str
    running: bool
    settings: GuardSettings = GuardSettings()
    findings: list[OpenFinding] = []
    stuck: list[OpenStuck] = []
    """Open rollouts whose workflow tasks keep failing."""
    looks: int = 0
    looked: int = 0
    """Routes at rest that the last look read."""
    live: int = 0
    """Rollouts that ran then."""
    archived: int = 0
    """Histories of dead rollouts that the guard has kept."""
    archive_failure: str = ""
    waiting: int = 0
    """Entries for the ledger and messages that nobody has taken yet."""
    not_taken: str = ""
    """Why not."""
    forgotten: int = 0
    """Those that were given up: Temporal's history of the guard holds them, and nothing else does."""
    last_look: Moment | None = None
    failure: str = ""
