"""A scripted world for workflow tests: every activity by its real name, its answers set by the test.

The router keeps the fencing rules, so that the invariants can be read off ``World.writes``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.verification import VerificationActivities
from coalmine.ownership import drift_of
from coalmine.records import (
    HOOK_COPIED,
    Archived,
    ArchiveRequest,
    ArmCounts,
    Ban,
    Check,
    Collected,
    CollectRequest,
    Diagnosis,
    DiagnosisRequest,
    Done,
    EvaluateRequest,
    Evaluation,
    Evidence,
    Finding,
    FleetAnswer,
    FleetRequest,
    HistoryRequest,
    HookRequest,
    LedgerEntry,
    LedgerWrite,
    Link,
    MetricCounts,
    MetricVerdict,
    NotifyRequest,
    ProxyState,
    Recalled,
    RecallRequest,
    RouteCheckRequest,
    RouteChecks,
    RouteRequest,
    RouteState,
    ServiceHistory,
    ShiftRequest,
    SlotPlace,
    Watched,
    Weights,
    Window,
    Written,
    canary_id,
)
from coalmine.spec.canary import CanarySpec
from coalmine.spec.metrics import Metric

Judgement = tuple[Finding, str]
GOOD: Judgement = (Finding.NO_HARM, "no harm is shown")
HARM: Judgement = (Finding.HARM, "errors: canary 9 % against 1 %")
CRASH: Judgement = (Finding.CRASH, "the canary answers nothing but errors")
UNDECIDED: Judgement = (Finding.UNDECIDED, "not enough requests yet")
SILENT: Judgement = (Finding.NO_DATA, "errors: no series")


@dataclass
class Write:
    """One accepted write of the route."""

    weights: Weights
    generation: int
    restoring: bool = False


@dataclass
class World:
    """What the activities answer, and what they were asked."""

    client: Client | None = None
    hanging: int = 0
    """So many activities hang on purpose now."""
    route: Weights = field(default_factory=lambda: {"checkout-v1": 100.0})
    generation: int = 0
    writes: list[Write] = field(default_factory=list)
    judge: Callable[[int, str], Judgement] = lambda look, stage: GOOD
    """(look, stage) -> what the judge finds."""
    collect_gate: asyncio.Event | None = None
    """When set, collecting hangs until it is."""
    collecting: int = 0
    shift_gate: asyncio.Event | None = None
    shift_gate_above: float = -1
    """Shifts of the canary above this weight hang until the gate is set."""
    shifting: int = 0
    read_gate: asyncio.Event | None = None
    reading: int = 0
    ban_gate: asyncio.Event | None = None
    banning: int = 0
    failing_verdict: bool = False
    """Guardrails fail, though the judge is not sure of harm."""
    silent: bool = False
    """Collecting answers no_data."""
    silent_metrics: set[str] = field(default_factory=set)
    silence_is_a_finding: bool = True
    """The judge answers no_data when a metric has none (not so for signals alone)."""
    collect_error: str = ""
    shift_errors: list[ApplicationError] = field(default_factory=list)
    shift_failing: str = ""
    """Every shift fails with an error of this type."""
    shift_failing_final: bool = False
    shown_wrong: int = 0
    """So many shifts more read back wrong."""
    recalled: Watched | None = None
    """What a run before a reset should have left, and left as ``left`` says."""
    left: Weights = field(default_factory=dict)
    recall_error: ApplicationError | None = None
    recall_later: str = ""
    """The rollout that has written the route since."""
    recall_taken: Watched | None = None
    """A later rollout that the reset ended, where the route is as ``left`` says."""
    recall_gate: asyncio.Event | None = None
    recalls: int = 0
    """So often it was asked."""
    lease: float = 0
    """Of a router that is advisory, in seconds."""
    stuck_proxies: int = 0
    """So many proxies show the canary at 10 % for ever."""
    evaluate_error: ApplicationError | None = None
    notify_error: ApplicationError | None = None
    hook_gate: asyncio.Event | None = None
    diagnosis_gate: asyncio.Event | None = None
    diagnosis_error: ApplicationError | None = None
    diagnoses: list[DiagnosisRequest] = field(default_factory=list)
    weight_when_diagnosing: list[float] = field(default_factory=list)
    archive_gate: asyncio.Event | None = None
    archive_error: ApplicationError | None = None
    archives: list[ArchiveRequest] = field(default_factory=list)
    read_errors: list[ApplicationError] = field(default_factory=list)
    hook_errors: dict[str, list[ApplicationError]] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=lambda: [Check(ok=True, name="router", reason="capable")])
    history: ServiceHistory = field(default_factory=ServiceHistory)
    past: Callable[[HistoryRequest], Awaitable[ServiceHistory]] | None = None
    """Answers instead of ``history``."""
    bans: dict[str, Ban] = field(default_factory=dict)
    fleet_silent: bool = False
    slot: SlotPlace | None = None
    """Where the fleet says that rollouts stand which ask for a slot."""
    ledger_down: bool = False
    ledger: dict[tuple[str, int], LedgerEntry] = field(default_factory=dict)
    ledger_when_written: list[int] = field(default_factory=list)
    """By write of the route: the ledger's last sequence just then."""
    windows: dict[str, list[Window]] = field(default_factory=dict)
    hooks: list[HookRequest] = field(default_factory=list)
    notices: list[NotifyRequest] = field(default_factory=list)
    evaluations: list[EvaluateRequest] = field(default_factory=list)
    numbers: Counter[str] = field(default_factory=Counter)
    rate: int = 100
    """Canary requests per look."""
    buckets: int = 0
    """Latency metrics bring histograms with so many bounds, and the judge a state to match."""

    environ: dict[str, str] = field(default_factory=dict)
    """Of the worker that verifies signed decisions."""

    @property
    def canary(self) -> float:
        """The canary's weight as the router has it."""
        return self.route.get("checkout-v2", 0.0)

    def state(self) -> RouteState:
        """The route as read back."""
        return RouteState(weights=dict(self.route), generation=self.generation)

    async def hang(self, gate: asyncio.Event) -> None:
        """Hang on purpose, and be counted meanwhile."""
        self.hanging += 1
        try:
            await until_set(gate)
        finally:
            self.hanging -= 1

    def kinds(self) -> list[str]:
        """Kinds of the ledger's entries, in order of sequence, looks left out."""
        return [entry.kind for _, entry in sorted(self.ledger.items()) if entry.kind != "look"]

    @property
    def activities(self) -> list[Any]:
        """For the worker on the main queue."""
        return [
            self.read_route,
            self.check_route,
            self.shift,
            self.collect,
            self.evaluate,
            self.read_history,
            self.write_ledger,
            self.ask_fleet,
            self.recall_route,
            VerificationActivities(self.environ).verify_decision,
        ]

    @property
    def side_activities(self) -> list[Any]:
        """For the worker on the side queue."""
        return [self.notify, self.diagnose, self.archive_history]

    @property
    def hook_activities(self) -> list[Any]:
        """For the worker on the hooks' queue."""
        return [self.run_hook]

    @activity.defn(name="read_route")
    async def read_route(self, request: RouteRequest) -> RouteState:
        """The route."""
        if self.read_gate is not None:
            self.reading += 1
            await self.hang(self.read_gate)
        if self.read_errors:
            raise self.read_errors.pop(0)
        return self.state()

    @activity.defn(name="recall_route")
    async def recall_route(self, request: RecallRequest) -> Recalled:
        """What a run before a reset left."""
        self.recalls += 1
        if self.recall_gate is not None:
            await self.hang(self.recall_gate)
        if self.recall_error is not None:
            raise self.recall_error
        if self.recalled is not None or self.recall_taken is not None:
            self.route, self.generation = dict(self.left), self.generation + 1
        return Recalled(run_id=request.run_id, left=self.recalled, later=self.recall_later, taken=self.recall_taken)

    @activity.defn(name="check_route")
    async def check_route(self, request: RouteCheckRequest) -> RouteChecks:
        """What the router can do."""
        return RouteChecks(checks=self.checks, lease=self.lease)

    @activity.defn(name="shift")
    async def shift(self, request: ShiftRequest) -> RouteState:
        """Apply with the fencing rules of the contract."""
        if self.shift_errors:
            raise self.shift_errors.pop(0)
        if self.shift_failing:
            raise ApplicationError("no", type=self.shift_failing, non_retryable=self.shift_failing_final)
        if self.shift_gate is not None and request.weights.get("checkout-v2", 0) > self.shift_gate_above:
            self.shifting += 1
            await self.hang(self.shift_gate)
        same = request.generation == self.generation and request.weights == self.route
        if not same:
            if request.generation <= self.generation:
                raise ApplicationError(f"the route is at {self.generation}", type="StaleGeneration", non_retryable=True)
            self.route, self.generation = dict(request.weights), request.generation
            self.writes.append(Write(dict(request.weights), request.generation, request.restoring))
            self.ledger_when_written.append(max((sequence for _, sequence in self.ledger), default=0))
        shown = self.state()
        if self.shown_wrong:
            self.shown_wrong -= 1
            shown.weights = {"checkout-v1": 90.0, "checkout-v2": 10.0}
        stuck = {"checkout-v1": 90.0, "checkout-v2": 10.0}
        shown.proxies = [ProxyState(proxy=f"p{n}", weights=stuck) for n in range(self.stuck_proxies)]
        return shown

    @activity.defn(name="collect")
    async def collect(self, request: CollectRequest) -> Collected:
        """Counts of the window, and a note of which window it was."""
        if self.collect_gate is not None:
            self.collecting += 1
            await self.hang(self.collect_gate)
        drift = drift_of(request.watch.weights, self.state()) if request.watch is not None else None
        if self.collect_error:
            raise ApplicationError(self.collect_error, type="SourceUnreachable", non_retryable=True)
        if self.silent:
            counts = [MetricCounts(metric=m.name, status="no_data", reason="no series") for m in request.metrics]
            return Collected(metrics=counts, window=request.window, drift=drift)
        arm = ArmCounts(total=self.rate, events=1)
        both = []
        for metric in request.metrics:
            if metric.name in self.silent_metrics:
                both.append(MetricCounts(metric=metric.name, status="no_data", reason="no series"))
                continue
            self.windows.setdefault(metric.name, []).append(request.window)
            both.append(self._counts(metric, arm, request.compare))
        return Collected(metrics=both, window=request.window, drift=drift)

    def _counts(self, metric: Metric, arm: ArmCounts, compare: bool) -> MetricCounts:
        if metric.kind == "latency" and self.buckets:
            arm = ArmCounts(total=arm.total, buckets=[1_234] * (self.buckets + 1))
        bounds = [0.005 * 1.5**n for n in range(self.buckets)] if arm.buckets else None
        return MetricCounts(metric=metric.name, canary=arm, baseline=arm if compare else None, bounds=bounds)

    @activity.defn(name="evaluate")
    async def evaluate(self, request: EvaluateRequest) -> Evaluation:
        """What the script says; no data is always no data."""
        if self.evaluate_error is not None:
            raise self.evaluate_error
        self.evaluations.append(request)
        looks = (request.evidence.looks if request.evidence else 0) + 1
        finding, reason = self.judge(len(self.evaluations), request.stage)
        silent = [counts for counts in request.counts if counts.status == "no_data" and self.silence_is_a_finding]
        if silent and finding is not Finding.HARM:
            finding, reason = Finding.NO_DATA, silent[0].reason
        failing = finding in (Finding.HARM, Finding.CRASH)
        verdicts = [
            MetricVerdict(
                metric=metric.name,
                role=metric.role,
                verdict="no_data"
                if finding is Finding.NO_DATA
                else "fail"
                if failing or self.failing_verdict
                else "pass"
                if finding is Finding.NO_HARM
                else "inconclusive",
                no_harm=finding is Finding.NO_HARM,
                sentence=reason,
            )
            for metric in request.judge.metrics
        ]
        return Evaluation(
            finding=finding,
            reason=reason,
            verdicts=verdicts,
            canary_requests=0 if silent else self.rate,
            evidence=Evidence(looks=looks, state={f"test-{n}": [0.123456789] * 12 for n in range(self.buckets)}),
        )

    @activity.defn(name="read_history")
    async def read_history(self, request: HistoryRequest) -> ServiceHistory:
        """The service's noise."""
        return self.history if self.past is None else await self.past(request)

    @activity.defn(name="write_ledger")
    async def write_ledger(self, request: LedgerWrite) -> Written:
        """Idempotent by (rollout id, sequence)."""
        if self.ledger_down:
            raise ApplicationError("disk full", type="LedgerError")
        new = [entry for entry in request.entries if (entry.rollout_id, entry.sequence) not in self.ledger]
        self.ledger.update({(entry.rollout_id, entry.sequence): entry for entry in new})
        return Written(written=len(new))

    @activity.defn(name="ask_fleet")
    async def ask_fleet(self, request: FleetRequest) -> Done:
        """Answer admission by signal, as the fleet does; keep bans."""
        if request.verb == "ban":
            if self.ban_gate is not None:
                self.banning += 1
                await self.hang(self.ban_gate)
            self.bans[request.version] = Ban(service=request.service, version=request.version, reason=request.reason)
        if request.verb == "admit" and not self.fleet_silent:
            assert self.client is not None
            self.numbers[request.version] += 1
            answer = FleetAnswer(
                request_id=request.request_id,
                number=self.numbers[request.version],
                ban=self.bans.get(request.version),
                slot=self.slot,
            )
            await self.client.get_workflow_handle(request.workflow_id).signal("fleet_answer", answer)
        return Done()

    @activity.defn(name="notify")
    async def notify(self, request: NotifyRequest) -> Done:
        """Hear it."""
        if self.notify_error is not None:
            raise self.notify_error
        self.notices.append(request)
        return Done()

    @activity.defn(name="diagnose")
    async def diagnose(self, request: DiagnosisRequest) -> Diagnosis:
        """The route pay, unless the script says otherwise."""
        self.diagnoses.append(request)
        self.weight_when_diagnosing.append(self.canary)
        if self.diagnosis_gate is not None:
            await self.hang(self.diagnosis_gate)
        if self.diagnosis_error is not None:
            raise self.diagnosis_error
        links = [Link(name="logs", url="https://logs.example/")]
        return Diagnosis(sentence="errors: route /pay", decision=request.decision, at=request.at, links=links)

    @activity.defn(name="archive_history")
    async def archive_history(self, request: ArchiveRequest) -> Archived:
        """Note which run was to be kept."""
        self.archives.append(request)
        if self.archive_gate is not None:
            await self.hang(self.archive_gate)
        if self.archive_error is not None:
            raise self.archive_error
        file = f"{request.rollout_id}.{request.run_id}.history.json.gz"
        return Archived(file=file, sha256="0" * 64, run_id=request.run_id, events=7, bytes=70, whole=True)

    @activity.defn(name="run_hook")
    async def run_hook(self, request: HookRequest) -> Done:
        """Answer yes, or what the script says; nothing where a reset copied the call."""
        if request.run_id not in ("", activity.info().workflow_run_id):
            raise ApplicationError("ordered by another run", type=HOOK_COPIED, non_retryable=True)
        self.hooks.append(request)
        if self.hook_gate is not None:
            await self.hang(self.hook_gate)
        errors = self.hook_errors.get(request.hook)
        if errors:
            raise errors.pop(0)
        return Done(detail="200")


async def until_set(gate: asyncio.Event) -> None:
    """Hang as an activity does that beats; a cancellation ends it with the next beat."""
    while not gate.is_set():
        activity.heartbeat()
        await asyncio.sleep(0.02)


def take(world: World, spec: CanarySpec, canary: float) -> None:
    """A run of this spec that a reset made has ended a later rollout, which had given the canary so much traffic."""
    leave(world, spec, canary)
    assert world.recalled is not None
    world.recall_later = f"{spec.environment}/{spec.service}/1.2.0/1"
    world.recall_taken = world.recalled.model_copy(update={"run_id": "later", "rollout_id": world.recall_later})
    world.recalled = None


def leave(world: World, spec: CanarySpec, canary: float, ended: str = "terminated") -> None:
    """A run of this spec that a reset made finds the canary with so much traffic, and the run before at an end."""
    baseline, backend = spec.arms.baseline.backend, spec.arms.canary.backend
    world.left = {baseline: 100.0 - canary, backend: canary}
    world.recalled = Watched(
        workflow_id=canary_id(spec.environment, spec.service, spec.region),
        run_id="the-run-before",
        rollout_id=f"{spec.environment}/{spec.service}/{spec.arms.canary.version}/1",
        service=spec.service,
        environment=spec.environment,
        route=spec.route,
        baseline=baseline,
        canary=backend,
        rest={baseline: 100.0, backend: 0.0},
        ended=ended,
        ledger=spec.ledger,
    )
