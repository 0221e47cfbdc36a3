"""The models that pass between workflows, activities and people: one in, one out.

New fields always have defaults, so that old histories decode. The telling field comes first, because the
Temporal UI cuts a result to its first fifty characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from coalmine.spec.canary import Arms, CanarySpec, Diagnose, Ledger, Metric, Notifier, Policy, Role, Route, Source
from coalmine.spec.durations import Duration

TASK_QUEUE = "coalmine"
"""Workflows, routes and looks."""
TASK_TIMEOUT = timedelta(seconds=2)
"""How long the server waits for a worker that took a workflow task before it gives the task to another."""
SIDE_TASK_QUEUE = "coalmine-side"
"""Hooks, notifications, probes, load: what may hang without delaying a rollback."""


class Record(BaseModel):
    """Base of all records: unknown fields of newer versions are let through, never an error."""

    model_config = ConfigDict(
        extra="ignore", populate_by_name=True, serialize_by_alias=True, ser_json_inf_nan="strings"
    )


class Phase(StrEnum):
    """Where a rollout stands."""

    ADMITTING = "admitting"
    GATED = "gated"
    STEPPING = "stepping"
    HELD = "held"
    PROMOTING = "promoting"
    BAKING = "baking"
    WINDOW = "window"
    ROLLING_BACK = "rolling_back"
    CLOSED = "closed"


class Outcome(StrEnum):
    """How a closed rollout ended."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    SUPERSEDED = "superseded"
    FAILED = "failed"


class Cause(StrEnum):
    """What brought the outcome about."""

    ANALYSIS = "analysis"
    INCIDENT = "incident"
    DEADLINE = "deadline"
    HUMAN = "human"
    ERROR = "error"


class Action(StrEnum):
    """What one look decides."""

    CONTINUE = "continue"
    ADVANCE = "advance"
    PROMOTE = "promote"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


class Verb(StrEnum):
    """What people can say to a rollout."""

    APPROVE = "approve"
    REJECT = "reject"
    PAUSE = "pause"
    RESUME = "resume"
    EXTEND = "extend"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


VerdictName = Literal["pass", "fail", "inconclusive", "no_data"]
Measure = Literal["odds ratio", "rate ratio", "difference", "burn rate"]
"""What an effect is: a ratio of canary to baseline, their difference, or how fast the canary uses the error budget."""
Weights = dict[str, float]
"""Percent of traffic by backend; the values sum to 100."""


def canary_id(environment: str, service: str, region: str | None = None) -> str:
    """The workflow id of a canary: the lock of its service, environment and region (I6)."""
    return "/".join(part for part in ("canary", environment, service, region) if part)


def fleet_id(environment: str) -> str:
    """The workflow id of an environment's fleet."""
    return f"fleet/{environment}"


def rollout_id(environment: str, service: str, region: str | None, version: str, number: int | str) -> str:
    """``<environment>/<service>[/<region>]/<version>/<n>``; of a rollout that got no number, ``n`` is its run's id."""
    return "/".join(part for part in (environment, service, region, version, str(number)) if part)


class RolloutContext(Record):
    """Which rollout an activity works for: bound to every log line it writes. ``step`` counts from 0."""

    rollout_id: str = ""
    service: str = ""
    environment: str = ""
    region: str | None = None
    version: str = ""
    step: int | None = None
    look: int | None = None


# ------------------------------------------------------------------------------------------------ traffic


class ProxyState(Record):
    """What one proxy shows of a route."""

    proxy: str
    ok: bool = True
    generation: int = 0
    weights: Weights = {}
    detail: str = ""


class RouteState(Record):
    """A route as it was read back. ``generation`` is the highest any proxy or the file shows."""

    weights: Weights
    generation: int
    proxies: list[ProxyState] = []


class Confirmation(Record):
    """Whether every proxy shows a generation."""

    answer: Literal["yes", "no", "unsupported"]
    reason: str = ""
    proxies: list[ProxyState] = []


class Capabilities(Record):
    """What a router can do."""

    fencing: Literal["strict", "advisory"]
    granularity: float
    """Smallest step of a weight, in percent."""
    confirm: bool = True
    header_match: bool = False
    cookie_match: bool = False
    mirror: bool = False
    stickiness: bool = False


class Check(Record):
    """One admission check with its reason."""

    ok: bool
    name: str
    reason: str = ""


class RouteRequest(Record):
    """Name the route to read. ``backends`` are those whose weights are asked for, when it has more."""

    route: Route
    backends: list[str] = []
    context: RolloutContext | None = None


class RouteCheckRequest(Record):
    """Ask whether a route can carry these weights for these backends, before anything is written."""

    route: Route
    arms: Arms
    weights: list[float]
    context: RolloutContext | None = None


class RouteChecks(Record):
    """What the router says of a route before the first write."""

    checks: list[Check]


class ShiftRequest(Record):
    """Absolute weights under a generation; applying it twice is applying it once."""

    weights: Weights
    generation: int
    route: Route
    restoring: bool = False
    """It is the way back: one proxy that sees no healthy endpoint must not keep the others from it."""
    confirm_within: Duration = timedelta(seconds=5)
    context: RolloutContext | None = None


# ------------------------------------------------------------------------------------------------ metrics


class Window(Record):
    """``(start, end]`` in UTC, fixed by the workflow: a retry collects the very same numbers."""

    start: datetime
    end: datetime


class BurnCounts(Record):
    """Exact counts of one arm over the last ``seconds`` before a window's end, for burn rates."""

    seconds: float
    total: int
    events: int


class ArmCounts(Record):
    """Exact counts of one arm in one window. ``buckets`` are per bucket, not cumulative, the last is +Inf."""

    total: int = 0
    events: int | None = None
    buckets: list[int] | None = None
    values: list[float] | None = None
    """value: one mean over the window for every instance, in the metric's own unit."""
    burn: list[BurnCounts] | None = None
    """slo: the long and short windows of its burn rates, shortest first."""


class MetricCounts(Record):
    """What one metric counted in one window, or why it has nothing to say."""

    metric: str
    status: Literal["ok", "no_data"] = "ok"
    baseline: ArmCounts | None = None
    canary: ArmCounts | None = None
    bounds: list[float] | None = None
    """Upper bucket bounds in seconds, without +Inf, equal for both arms."""
    value: float | None = None
    """threshold: what the query answered at the window's end."""
    seconds: float | None = None
    """Length of the window; None = one look."""
    reason: str = ""
    """For ``no_data``: empty, stale, partial, NaN or unreachable, in a sentence."""
    warnings: list[str] = []
    queries: list[str] = []


class CollectRequest(Record):
    """Collect one window for all metrics. ``arms`` names which arms must answer (the bake has only the canary)."""

    window: Window
    metrics: list[Metric]
    arms: Arms
    sources: dict[str, Source]
    compare: bool = True
    rollout_id: str = ""
    look: int = 0
    context: RolloutContext | None = None


class Collected(Record):
    """The counts of one look."""

    metrics: list[MetricCounts]
    window: Window


# --------------------------------------------------------------------------------------------- evaluation


class ChannelHistory(Record):
    """What earlier looks say of one channel's noise: excess dispersion per unit of information, autocorrelation."""

    tau2: float
    rho: float = 0.0


class ServiceHistory(Record):
    """The noise of a service, by metric and channel; fixed at admission for the whole rollout."""

    looks: int = 0
    since: datetime | None = None
    until: datetime | None = None
    load: float = 0.0
    """Requests per second, both arms."""
    channels: dict[str, dict[str, ChannelHistory]] = {}


class HistoryRequest(Record):
    """Ask the ledger for the noise of a service."""

    service: str
    environment: str
    region: str | None = None
    metrics: list[Metric]
    ledger: Ledger
    now: datetime
    context: RolloutContext | None = None


class Judge(Record):
    """All the judge needs besides the counts: fixed at admission."""

    metrics: list[Metric]
    policy: Policy
    planned_looks: int
    history: ServiceHistory | None = None


class Evidence(Record):
    """The state of the sequential tests: O(1) in the number of looks; opaque outside ``coalmine.analysis``."""

    looks: int = 0
    state: dict[str, Any] = {}


class EvaluateRequest(Record):
    """Fold one look into the evidence.

    ``share`` is the canary's configured share of traffic in this window (0-1; None when it changed within the
    window, then the sample ratio is not tested). ``stage`` is ``compare`` while both arms run, ``bake`` when only
    the canary does.
    """

    judge: Judge
    counts: list[MetricCounts]
    stage: Literal["compare", "bake"] = "compare"
    share: float | None = None
    new_step: bool = False
    extension: bool = False
    evidence: Evidence | None = None
    context: RolloutContext | None = None


class MetricVerdict(Record):
    """What the evidence says of one metric so far."""

    verdict: VerdictName
    metric: str
    role: Role = "guardrail"
    sentence: str = ""
    """The verdict in one plain sentence with its numbers."""
    effect: float | None = None
    """What ``measure`` names: canary over baseline, their difference in the metric's own unit, or a burn rate."""
    interval: tuple[float, float] | None = None
    """Anytime-valid interval of the effect."""
    margin: float | None = None
    """The effect up to which there is no harm, in the same measure; None when it has none."""
    measure: Measure = "odds ratio"
    worse: Literal["up", "down"] = "up"
    """Which way of the effect is worse: harm is an interval wholly beyond the margin that way."""
    no_harm: bool = False
    log_e_harm: float = 0.0
    log_e_no_harm: float = 0.0
    baseline: float | None = None
    """Pooled level of the baseline in the metric's own unit (a share for ratio, seconds at p99 for latency)."""
    canary: float | None = None
    baseline_requests: int = 0
    canary_requests: int = 0


class Finding(StrEnum):
    """What the judge found over all metrics, before phases, gates and people come in."""

    CRASH = "crash"
    SAMPLE_RATIO = "sample_ratio"
    HARM = "harm"
    HARM_UNSURE = "harm_unsure"
    """Harm, but without history and small, or resting on scores alone: ask a human (EVALUATION.md section 4)."""
    SIGNAL = "signal"
    NO_DATA = "no_data"
    NO_HARM = "no_harm"
    UNDECIDED = "undecided"


class Evaluation(Record):
    """The result of one look."""

    finding: Finding
    reason: str
    """One plain sentence, with the numbers that decided."""
    verdicts: list[MetricVerdict]
    canary_requests: int = 0
    """Canary requests in this window."""
    log_e_harm: float = 0.0
    evidence: Evidence


# ------------------------------------------------------------------------------------- what people say


class Submission(Record):
    """A start: the spec, who asked, and whether automation did."""

    spec: CanarySpec
    by: str
    automated: bool = False
    reason: str = ""
    advise: bool = False


class CommandInput(Record):
    """The payload of every signal and update people send: ``{"by": "ana", "reason": "ok"}``."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)

    by: str = Field(min_length=1)
    reason: str = ""
    gate: str | None = None
    attempt: int | None = None
    for_: Duration | None = Field(default=None, alias="for")


class CommandReceipt(Record):
    """The answer to a command that was taken."""

    message: str
    phase: Phase


class CanaryInput(Record):
    """The input of the workflow ``Canary``. ``carried`` is set by continue-as-new only."""

    service: str
    environment: str
    region: str | None = None
    submission: Submission | None = None
    carried: dict[str, Any] | None = None


class Receipt(Record):
    """The answer to a submission."""

    disposition: Literal["started", "attached", "promoted", "blocked", "rejected"]
    workflow_id: str
    run_id: str = ""
    rollout_id: str = ""
    version: str = ""
    phase: Phase = Phase.ADMITTING
    checks: list[Check] = []
    reason: str = ""


# ----------------------------------------------------------------------------- the record and the ledger


class LedgerEntry(Record):
    """One line of the ledger, idempotent by (rollout_id, sequence)."""

    kind: str
    """``admitted`` ``shifted`` ``look`` ``advance`` ``hold`` ``command`` ``refused`` ``closed`` ..."""
    rollout_id: str
    sequence: int
    at: datetime
    reason: str = ""
    by: str = ""
    phase: Phase | None = None
    data: dict[str, Any] = {}


class LedgerWrite(Record):
    """Append these entries; those already there (by sequence) are skipped."""

    entries: list[LedgerEntry]
    ledger: Ledger
    service: str
    environment: str
    region: str | None = None
    context: RolloutContext | None = None


class Written(Record):
    """How many entries were new."""

    written: int


class Notification(Record):
    """One message to people."""

    title: str
    text: str = ""
    severity: Literal["info", "warning", "critical"] = "info"
    rollout_id: str = ""
    workflow_id: str = ""
    phase: Phase | None = None
    outcome: Outcome | None = None
    key: str = ""
    """Idempotency key: the same message is not shown twice by channels that can tell."""


class NotifyRequest(Record):
    """A message and the channels it goes to."""

    notification: Notification
    channels: list[Notifier]
    context: RolloutContext | None = None


class Done(Record):
    """Nothing to say but that it is done."""

    detail: str = ""


class HookRequest(Record):
    """Post to one hook; ``key`` is the idempotency key, the same for every retry."""

    url: str
    hook: str
    key: str
    rollout_id: str
    service: str
    environment: str
    region: str | None = None
    version: str = ""
    baseline_version: str = ""
    reason: str = ""
    context: RolloutContext | None = None


# ----------------------------------------------------------------------------------------------- diagnosis


class LabelCounts(Record):
    """What both arms counted under one value of a label; an absent label is the empty text."""

    value: str
    canary: ArmCounts
    baseline: ArmCounts = ArmCounts(total=0)


class LabelBreakdown(Record):
    """One metric by the values of one label."""

    label: str
    values: list[LabelCounts] = []
    of_events: bool = False
    """The label tells kinds of events apart (a status code), so its totals are not the requests it could have hit."""
    folded: int = 0
    """Further values, too many to list."""
    canary_total: int = 0
    """Requests of the arm over all values, the folded ones and those without the label too; 0 = the sum of the list."""
    baseline_total: int = 0


class Exemplar(Record):
    """One request that a metric store remembers by its trace."""

    trace_id: str
    at: datetime
    value: float = 0.0
    labels: dict[str, str] = {}
    link: str = ""


class MetricBreakdown(Record):
    """What a metric store says of where one metric's counts come from."""

    metric: str
    supported: bool = True
    reason: str = ""
    """Why there is nothing, or what is missing from it."""
    labels: list[LabelBreakdown] = []
    bounds: list[float] | None = None
    """latency: upper bucket bounds in seconds, without +Inf."""
    exemplars: list[Exemplar] = []


class BreakdownRequest(Record):
    """Ask a metric store for one metric by labels, over one window; ``compare`` as in ``CollectRequest``."""

    window: Window
    arms: Arms
    labels: list[str]
    compare: bool = True
    most_values: int = 50
    most_exemplars: int = 5


class Contribution(Record):
    """How much of a metric's excess one value of a label carries."""

    value: str
    share: float
    """Of all excess, 0-1."""
    excess: float
    """Events beyond what the baseline's level would have brought."""
    canary_events: int = 0
    canary_total: int = 0
    baseline_events: int = 0
    baseline_total: int = 0
    traffic: float | None = None
    """Its share of the canary's requests, 0-1; None where the label tells events apart."""
    chance: float = 1.0
    """Probability of so many events if the canary were as the baseline, times the number of values looked at."""


class LabelRanking(Record):
    """One label of one metric: its values by their share of the excess, the largest first."""

    metric: str
    label: str
    of_events: bool = False
    stands_out: bool = False
    """One value carries far more of the excess than of the traffic, and not by chance."""
    values: list[Contribution] = []
    folded: int = 0


class Link(Record):
    """A place to look further."""

    name: str
    url: str


class Change(Record):
    """Something else that happened in the environment at the time."""

    at: datetime
    rollout_id: str
    what: str


class Diagnosis(Record):
    """What points to the cause of a rollback or a hold."""

    sentence: str
    decision: Literal["roll_back", "hold"] = "roll_back"
    reason: str = ""
    """The decision's own reason."""
    at: datetime | None = None
    window: Window | None = None
    rankings: list[LabelRanking] = []
    exemplars: list[Exemplar] = []
    links: list[Link] = []
    changes: list[Change] = []
    notes: list[str] = []
    """What could not be had, and why."""


class DiagnosisRequest(Record):
    """Ask what points to the cause. ``metrics`` are those to break down, the most suspicious first."""

    decision: Literal["roll_back", "hold"]
    reason: str
    at: datetime
    window: Window
    metrics: list[Metric]
    arms: Arms
    sources: dict[str, Source]
    ledger: Ledger
    settings: Diagnose
    service: str
    environment: str
    region: str | None = None
    rollout_id: str = ""
    compare: bool = True
    context: RolloutContext | None = None


# ----------------------------------------------------------------------------------- what a rollout shows


class GateStatus(Record):
    """A gate: whether it waits, and who has said what."""

    name: str
    step: int
    attempt: int = 1
    state: Literal["closed", "waiting", "open"] = "closed"
    by: list[str] = []
    """Groups or people who may approve; empty = anyone."""
    count: int = 1
    approvals: list[str] = []
    deadline: datetime | None = None


class StepStatus(Record):
    """One step and how far it is."""

    weight: float
    for_: Duration = Field(alias="for")
    min_requests: int = 0
    gate: str | None = None
    state: Literal["todo", "now", "done"] = "todo"
    started_at: datetime | None = None


class Refusal(Record):
    """An input that was refused, and why."""

    at: datetime
    verb: str
    reason: str
    by: str = ""
    input: str = ""


class RolloutStatus(Record):
    """Everything a person or a tool wants to know of a rollout now: the answer to the query ``status``."""

    phase: Phase
    outcome: Outcome | None = None
    cause: Cause | None = None
    exit: int | None = None
    """The exit code of DESIGN section 6, None while open."""
    reason: str = ""
    service: str
    environment: str
    region: str | None = None
    version: str = ""
    baseline_version: str = ""
    rollout_id: str = ""
    workflow_id: str = ""
    run_id: str = ""
    by: str = ""
    automated: bool = False
    advise: bool = False
    step: int = 0
    """Index of the current step, from 0."""
    steps: list[StepStatus] = []
    weights: Weights = {}
    canary_weight: float = 0.0
    generation: int = 0
    looks: int = 0
    planned_looks: int = 0
    verdicts: list[MetricVerdict] = []
    unmet: list[str] = []
    """What stands between now and the next step, in words."""
    next_look_at: datetime | None = None
    step_ends_at: datetime | None = None
    deadline_at: datetime | None = None
    """When the bake, the rollback window, a hold or a waiting gate ends."""
    gate: GateStatus | None = None
    paused: bool = False
    held_reason: str = ""
    canary_requests: int = 0
    step_requests: int = 0
    history_note: str = ""
    """What is known of the service's noise, in plain words."""
    restored: bool | None = None
    """After a rollback: whether the router reads back the snapshot. None before one."""
    refused: list[Refusal] = []
    can_send: list[Verb] = []
    diagnosis: Diagnosis | None = None
    """What points to the cause of the last rollback or hold."""
    ledger_backlog: int = 0
    started_at: datetime | None = None
    closed_at: datetime | None = None


class DecisionLog(Record):
    """The answer to the query ``decisions``: newest last, the oldest may have moved on to the ledger."""

    entries: list[LedgerEntry] = []
    refused: list[Refusal] = []
    dropped: int = 0


class RolloutReport(Record):
    """The result of the workflow: what happened and why."""

    outcome: Outcome | None
    """None for an advised rollout, which shifted nothing; see ``advice``."""
    reason: str
    cause: Cause | None = None
    exit: int = 0
    rollout_id: str = ""
    service: str = ""
    environment: str = ""
    region: str | None = None
    version: str = ""
    baseline_version: str = ""
    by: str = ""
    advice: Action | None = None
    weights: Weights = {}
    looks: int = 0
    canary_requests: int = 0
    started_at: datetime | None = None
    closed_at: datetime | None = None
    seconds_to_restore: float | None = None
    """From the decision to roll back until the router read back right."""
    verdicts: list[MetricVerdict] = []
    checks: list[Check] = []
    diagnosis: Diagnosis | None = None
    decisions: list[LedgerEntry] = []
    ledger_complete: bool = True


# --------------------------------------------------------------------------------------------------- fleet


class Ban(Record):
    """A version automation may not start again until a human lifts it."""

    service: str
    version: str
    region: str | None = None
    by: str = ""
    reason: str = ""
    at: datetime | None = None
    rollout_id: str = ""


class FleetRequest(Record):
    """What a rollout or a person asks of the fleet. ``admit`` is answered by the signal ``fleet_answer``."""

    verb: Literal["admit", "ban", "unban"]
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


class FleetAnswer(Record):
    """The fleet's answer to ``admit``: the number of the rollout, and the ban if there is one."""

    request_id: str
    number: int
    ban: Ban | None = None


class FleetState(Record):
    """One environment: who is banned, and how many rollouts each version had. Carried over continue-as-new."""

    environment: str
    bans: list[Ban] = []
    numbers: dict[str, int] = {}
    """Rollouts so far, by ``<service>[/<region>]/<version>``."""
    answered: dict[str, FleetAnswer] = {}
    """The last answers by request id: a repeated request gets the same number."""


# ------------------------------------------------------------------------------------------------- load


class LoadRequest(Record):
    """Open-loop load: requests are due at fixed times whether or not earlier ones came back."""

    url: str
    rate: float
    """Requests per second."""
    duration: Duration
    headers: dict[str, str] = {}
    timeout: Duration = timedelta(seconds=10)
    arrivals: Literal["uniform", "poisson"] = "uniform"
    """``uniform``: evenly spaced; ``poisson``: independent, by ``seed``."""
    max_in_flight: int = 10_000
    """Requests (and connections) open at once; what is due beyond that fails as ``too many in flight``."""
    seed: int = 0


class LoadReport(Record):
    """What the load saw. Latencies count from when a request was due (no coordinated omission), in seconds."""

    sent: int
    ok: int
    failed: int
    statuses: dict[str, int] = {}
    errors: dict[str, int] = {}
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    max_sched_late: float = 0.0
    seconds: float = 0.0


# ------------------------------------------------------------------------ activities, by name and type

In = TypeVar("In", bound=Record)
Out = TypeVar("Out", bound=Record)


@dataclass(frozen=True)
class ActivitySignature(Generic[In, Out]):
    """An activity as workflows see it: its name and its two models."""

    name: str
    input: type[In]
    output: type[Out]
    task_queue: str = TASK_QUEUE


READ_ROUTE = ActivitySignature("read_route", RouteRequest, RouteState)
CHECK_ROUTE = ActivitySignature("check_route", RouteCheckRequest, RouteChecks)
SHIFT = ActivitySignature("shift", ShiftRequest, RouteState)
COLLECT = ActivitySignature("collect", CollectRequest, Collected)
EVALUATE = ActivitySignature("evaluate", EvaluateRequest, Evaluation)
READ_HISTORY = ActivitySignature("read_history", HistoryRequest, ServiceHistory)
WRITE_LEDGER = ActivitySignature("write_ledger", LedgerWrite, Written)
ASK_FLEET = ActivitySignature("ask_fleet", FleetRequest, Done)
NOTIFY = ActivitySignature("notify", NotifyRequest, Done, SIDE_TASK_QUEUE)
RUN_HOOK = ActivitySignature("run_hook", HookRequest, Done, SIDE_TASK_QUEUE)
DIAGNOSE = ActivitySignature("diagnose", DiagnosisRequest, Diagnosis, SIDE_TASK_QUEUE)
GENERATE_LOAD = ActivitySignature("generate_load", LoadRequest, LoadReport, SIDE_TASK_QUEUE)

SIGNATURES: Sequence[ActivitySignature[Any, Any]] = (
    READ_ROUTE, CHECK_ROUTE, SHIFT, COLLECT, EVALUATE, READ_HISTORY, WRITE_LEDGER, ASK_FLEET, NOTIFY, RUN_HOOK,
    DIAGNOSE, GENERATE_LOAD,
)  # fmt: skip
