"""Admission: a list of checks, each with its reason. Refused = blocked, and nothing was touched."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.freezing import bars, sentence
    from coalmine.records import (
        ASK_FLEET,
        READ_HISTORY,
        Cause,
        Check,
        FleetAnswer,
        Freeze,
        HistoryRequest,
        Outcome,
        RouteState,
        canary_id,
        rollout_id,
    )
    from coalmine.rollout import RolloutState
    from coalmine.spec import recheck
    from coalmine.spec.digest import spec_digest, spec_record
    from coalmine.spec.plan import plan

from workflows.beginning_anew import BeginningAnew
from workflows.calls import FLEET, HISTORY, call
from workflows.fleet_requests import fleet_request
from workflows.hooks import Hooks
from workflows.interruption import Interrupted, failure_reason, failure_type, unless
from workflows.journal import Journal
from workflows.slot import Slot
from workflows.starter import check_starter
from workflows.taking_over import TakingOver
from workflows.traffic import Traffic

HISTORY_LOOKS = 60
"""Looks below which a service counts as having no history (docs/judging.md)."""
ASK_AGAIN = timedelta(seconds=30)
ASK_AGAIN_AT_MOST = timedelta(minutes=10)


class Admission:
    """Decides whether a rollout may begin, and gathers what it needs for that."""

    def __init__(
        self,
        state: RolloutState,
        journal: Journal,
        traffic: Traffic,
        hooks: Hooks,
        taking_over: TakingOver,
        beginning_anew: BeginningAnew,
        ordered: Callable[[], bool],
    ) -> None:
        self._state = state
        self._journal = journal
        self._hooks = hooks
        self._traffic = traffic
        self._ordered = ordered
        self._answer: FleetAnswer | None = None
        self._slot = Slot(state)
        self._taking_over = taking_over
        self._beginning_anew = beginning_anew
        info, version = workflow.info(), state.submission.spec.arms.canary.version
        # Not this run's id: after a reset another run hears the answer that this one was given.
        self._request_id = f"{info.continued_run_id or info.first_execution_run_id}/{version}"

    def hear(self, answer: FleetAnswer) -> None:
        """Take the fleet's answer (a signal)."""
        # Of the id the version alone: builds before this one asked under others, and an answer is sent to one run.
        if answer.request_id.endswith(f"/{self._state.submission.spec.arms.canary.version}"):
            self._answer = answer
            self._slot.hear(answer)

    async def check(self) -> Outcome | None:
        """Run all checks; after this the snapshot is recorded, and nothing has been written but what puts back what a
        run before a reset left.

        Returns:
            None when admitted, else how the rollout ends; the reason is in the state.

        Raises:
            Interrupted: a human's order came first.
        """
        state = self._state
        await self._beginning_anew.put_back()
        problems = recheck(state.spec, older=state.by_older_rules)
        self._add("spec", not problems, "; ".join(str(problem) for problem in problems) or "valid")
        self._check_lock()
        await check_starter(state, self._ordered)
        if any(check.name == "starter" for check in self._blocked()):
            # Before the fleet counts it: what nobody proved to have started was never started.
            return self._block()
        await self._ask_fleet()
        if self._blocked():
            return self._block()
        route = await self._read_route()
        if route is not None and not state.advise:
            self._check_owner(route)
        if self._blocked() or route is None:
            return self._block()
        state.snapshot, state.weights = route, route.weights
        state.generation = max(state.generation, route.generation)
        failed = await self._prepare()
        if failed is not None:
            return failed
        await self._check_router()
        if self._blocked():
            return self._block()
        await self._learn_history()
        state.planned_looks = plan(state.spec).looks
        self._journal.note(
            "admitted",
            state.history_note,
            state.submission.by,
            version=state.spec.arms.canary.version,
            baseline=state.spec.arms.baseline.version,
            automated=state.submission.automated,
            verified=state.starter is not None,
            starter=state.starter.model_dump(mode="json", exclude_defaults=True) if state.starter else None,
            authors=state.submission.authors,
            advise=state.advise,
            snapshot=route.weights,
            checks=[check.model_dump(mode="json") for check in state.checks],
            spec_hash=spec_digest(state.spec),
            planned_looks=state.planned_looks,
            details={"spec": spec_record(state.spec)},
        )
        return None

    def _add(self, name: str, ok: bool, reason: str) -> None:
        self._state.checks.append(Check(ok=ok, name=name, reason=reason))

    def _blocked(self) -> list[Check]:
        return [check for check in self._state.checks if not check.ok]

    def _block(self) -> Outcome:
        self._state.reason = "; ".join(f"{check.name}: {check.reason}" for check in self._blocked())
        return Outcome.BLOCKED

    async def _ask_fleet(self) -> None:
        state, spec = self._state, self._state.spec
        request = fleet_request(
            state,
            "admit",
            self._request_id,
            by=state.submission.by,
            automated=state.submission.automated,
            wants_slot=not state.advise,
        )
        patience = ASK_AGAIN
        while self._answer is None:
            # A start waits for the fleet, for as long as it takes: it alone knows what is banned.
            await unless(self._ordered, call(ASK_FLEET, request, FLEET, "ask the fleet: number and bans"))
            try:
                await workflow.wait_condition(
                    lambda: self._answer is not None or self._ordered(),
                    timeout=patience,
                    timeout_summary="ask again if the fleet does not answer",
                )
            except TimeoutError:
                patience = min(patience * 2, ASK_AGAIN_AT_MOST)
                continue
            if self._answer is None:
                raise Interrupted
        state.number = self._answer.number
        # After a reset it has its id already, from the runs before: the fleet forgets what it answered long ago.
        state.rollout_id = state.rollout_id or rollout_id(
            spec.environment, spec.service, spec.region, spec.arms.canary.version, state.number
        )
        await self._slot.wait(request, self._ordered, self._journal)
        ban = self._answer.ban
        if ban is None:
            self._add("ban", True, "the version is not banned")
        elif state.submission.automated:
            lift = f"a human may start it, or lift the ban: coalmine unban {spec.service} {ban.version}"
            self._add("ban", False, f"{ban.version} was banned by {ban.by}: {ban.reason}; {lift}")
        else:
            self._add("ban", True, f"banned by {ban.by} ({ban.reason}), started by {state.submission.by} in person")
        self._check_freeze(self._answer.freeze)

    def _check_freeze(self, freeze: Freeze | None) -> None:
        """What is frozen does not start by itself, and by a person only who says that they know."""
        if freeze is None:
            return
        submission = self._state.submission
        if bars(freeze, submission):
            self._add("freeze", False, f"{sentence(freeze)}; a human may start it all the same with --during-freeze")
            return
        if submission.advise:
            self._add("freeze", True, f"{sentence(freeze)}; it only advises, and shifts nothing")
            return
        self._add("freeze", True, f"{sentence(freeze)}; started by {submission.by} all the same")
        self._journal.note("freeze_overridden", sentence(freeze), submission.by, said=submission.reason)
        self._journal.tell(
            f"{submission.spec.service} {submission.spec.arms.canary.version} is started during a freeze",
            f"{submission.by} started it though {sentence(freeze)}. They say: {submission.reason or 'nothing'}",
            "critical",
            key="during-freeze",
        )

    async def _read_route(self) -> RouteState | None:
        if self._taking_over.unsettled:
            await unless(self._ordered, self._taking_over.settle())
        try:
            return await unless(self._ordered, self._traffic.read("snapshot the route"))
        except ActivityError as error:
            self._add("route", False, f"cannot be read: {failure_reason(error)}")
            return None

    def _check_lock(self) -> None:
        """The workflow's id is the lock of service, environment and region: another one locks nothing (I6)."""
        spec = self._state.spec
        lock = canary_id(spec.environment, spec.service, spec.region)
        if self._state.workflow_id != lock:
            self._add("lock", False, f"the workflow id is '{self._state.workflow_id}', but must be '{lock}'")

    def _check_owner(self, route: RouteState) -> None:
        baseline = self._state.spec.arms.baseline
        share = route.weights.get(baseline.backend, 0.0)
        if share > 99.99:
            self._add("route", True, f"all traffic is on {baseline.backend}")
            return
        found = ", ".join(f"{name} {weight:g} %" for name, weight in sorted(route.weights.items()))
        mend = "name the arm that has the traffic as baseline, or restore the route first"
        self._add(
            "route",
            False,
            f"the baseline {baseline.backend} must have all traffic, but the route shows {found}: {mend}",
        )

    async def _check_router(self) -> None:
        try:
            checks = await unless(self._ordered, self._traffic.check("check what the router can do"))
        except ActivityError as error:
            self._add("router", False, failure_reason(error))
            return
        self._state.checks += checks.checks
        self._state.lease = checks.lease

    async def _prepare(self) -> Outcome | None:
        """Have the canary deployed and verified; neither touches the route."""
        state = self._state
        if state.advise:
            return None
        if state.spec.hooks.prepare is not None:
            state.prepared = True
            try:
                await unless(self._ordered, self._hooks.run("prepare", state.spec.hooks.prepare))
            except ActivityError as error:
                state.reason, state.cause = f"hook prepare: {failure_reason(error)}", Cause.ERROR
                return Outcome.FAILED
        if state.spec.hooks.verify is not None:
            try:
                await unless(self._ordered, self._hooks.run("verify", state.spec.hooks.verify))
            except ActivityError as error:
                state.reason = f"hook verify: {failure_reason(error)}"
                refused = failure_type(error) == "HookRefused"
                state.cause = Cause.ANALYSIS if refused else Cause.ERROR
                return Outcome.ROLLED_BACK if refused else Outcome.FAILED
        return None

    async def _learn_history(self) -> None:
        """Read the service's noise once; it is fixed for the whole rollout, so that every look is judged alike."""
        state, spec = self._state, self._state.spec
        request = HistoryRequest(
            context=state.context(),
            service=spec.service,
            environment=spec.environment,
            region=spec.region,
            metrics=spec.metrics,
            ledger=spec.ledger,
            now=workflow.now(),
        )
        try:
            history = await unless(self._ordered, call(READ_HISTORY, request, HISTORY, "read the service's history"))
        except ActivityError as error:
            state.history_note = f"no history (the ledger could not be read: {failure_reason(error)})"
            return
        if history.looks >= HISTORY_LOOKS:
            state.history = history
            state.history_note = f"judged with the noise of {history.looks} earlier looks"
            return
        small = (
            "rolls back on small effects too"
            if spec.policy.no_history == "roll_back"
            else "asks before it acts on small effects"
        )
        state.history_note = (
            f"no history yet ({history.looks} of {HISTORY_LOOKS} looks): the judge is careful and {small}"
        )
