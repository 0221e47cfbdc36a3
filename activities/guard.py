"""The activities of the traffic guard: look at every route that nobody owns, and put one to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.beating import beating
from activities.failures import translate_errors
from activities.rollout_runs import RolloutRuns
from activities.stuck_runs import StuckRuns, troubled_among
from activities.traffic import RoutersByName, TrafficActivities
from coalmine.errors import CoalmineError, TemporalUnavailable
from coalmine.guarding import beside, judge, unreadable, worth_telling
from coalmine.ownership import Run, newest_first, rest_of
from coalmine.records import (
    GUARD_RESTORE,
    SURVEY_ROUTES,
    GuardRestored,
    GuardRestoreRequest,
    RouteFinding,
    ShiftRequest,
    Survey,
    SurveyRequest,
    Watched,
)

_log = structlog.get_logger("coalmine.guard")
READ_WITHIN = 5.0
"""Seconds one route may take to be read."""
ALL_WITHIN = 15.0
"""Seconds of one look in which reading routes begins: a network that swallows what is sent keeps no other from it."""
AT_ONCE = 16
"""Routes that are read, and histories, at a time."""
EARLIER_RUNS = 20
"""Runs of one service that are looked through for the last one that wrote the route."""
UNLISTED = "Temporal has just stopped to list its runs; the next look reads the route"
LATE = "too many others did not answer, so it was not asked at this look; the next one asks it before those"
STOOD_BACK = frozenset({"StaleGeneration", "RouteRejected", "RouteUnconfirmed", "RouterUnreachable"})
"""Failures of a restore that are answers: the next look sees what is there then."""


class GuardActivities:
    """Looking and restoring, over the routers of this worker."""

    def __init__(self, client: Client, routers: RoutersByName, within: float = ALL_WITHIN) -> None:
        self._runs = RolloutRuns(client)
        self._stuck = StuckRuns(self._runs, client.namespace)
        self._routers = routers
        self._traffic = TrafficActivities(routers)
        self._within = within
        self._logged: set[str] = set()
        self._silent: dict[str, float] = {}
        """When a route that cannot be read was asked last."""

    @activity.defn(name=SURVEY_ROUTES.name)
    async def survey_routes(self, request: SurveyRequest) -> Survey:
        """Read the routes of an environment's closed rollouts, and judge each.

        Raises:
            ApplicationError: ``TemporalUnavailable``, to be retried.
        """
        with translate_errors():
            async with beating():
                return await self.survey(request.environment, request.known, request.unlisted, request.stuck)

    async def survey(
        self,
        environment: str | None,
        known: dict[str, str] | None = None,
        unlisted: Sequence[Watched] = (),
        stuck_before: dict[str, str] | None = None,
    ) -> Survey:
        """As ``survey_routes``; without an environment, of all.

        A history that cannot be read, encrypted or another build's, keeps no other route from being looked at.

        Raises:
            TemporalUnavailable: the server does not answer.
        """
        known = known or {}
        unknown: dict[str, str] = {}
        runs, cut = await self._runs.listed(environment)
        by_id = newest_first(runs)
        gate = asyncio.Semaphore(AT_ONCE)
        latest = [found[0] for found in by_id.values()]
        owned = dict(zip(by_id, await asyncio.gather(*(self._owns(run, gate) for run in latest)), strict=True))
        live = sorted(key for key, owns in owned.items() if owns)
        others = sorted(key for key, owns in owned.items() if by_id[key][0].open and not owns)
        # One that is open and owns nothing says nothing of the route either: the run before it does.
        over = [[run for run in found if not run.open] for key, found in by_id.items() if not owned[key]]
        watched = [one for one in await asyncio.gather(*(self._rest(found, gate, unknown) for found in over)) if one]
        gone = [one for one in unlisted if one.workflow_id not in by_id]
        # Its route is read from the next look on; until then nobody may say that it is right again.
        unread = set(known) - set(by_id) - {one.workflow_id for one in gone}
        unknown |= dict.fromkeys(unread, UNLISTED)
        findings, late = await self._look_at([*watched, *gone], gate)
        unknown |= dict.fromkeys(late, LATE)
        new = [one for one in watched if known.get(one.workflow_id) != one.run_id]
        stuck = await self._stuck.among(latest, stuck_before or {})
        told = {one.run_id for one in stuck}
        troubled = [run.run_id for run in troubled_among(latest)]
        return Survey(
            findings=findings,
            watched=worth_telling(new, findings),
            unlisted=sorted(key for key in known if key not in by_id),
            live=live,
            beside=others,
            looked=len(watched) + len(gone) - len(late),
            cut=cut,
            stuck=stuck,
            also_stuck=[run_id for run_id in troubled if run_id not in told],
            freed=None if stuck_before is None else await self._stuck.freed(stuck_before, troubled),
            unknown=dict(sorted(unknown.items())),
        )

    async def _owns(self, run: Run, gate: asyncio.Semaphore) -> bool:
        async with gate:
            return await self._runs.owns(run)

    async def _rest(self, runs: Sequence[Run], gate: asyncio.Semaphore, unknown: dict[str, str]) -> Watched | None:
        """What the last run that wrote says; a run that was blocked, or that only advised, says nothing."""
        async with gate:
            for run in runs[:EARLIER_RUNS]:
                try:
                    facts = await self._runs.facts(run)
                    rest = rest_of(run, facts) if facts is not None else None
                except TemporalUnavailable:
                    raise
                except Exception as error:
                    # Nor does an earlier run tell: this one may have left the route elsewhere.
                    unknown[run.workflow_id] = self._said(run, error)
                    return None
                if rest is not None:
                    return rest
        return None

    def _said(self, run: Run, error: Exception) -> str:
        """Why a run tells nothing; the log hears it once, the guard's page at every look."""
        expected = isinstance(error, CoalmineError)
        why = str(error) if expected else f"{type(error).__name__}: {error}"
        if run.run_id not in self._logged:
            self._logged.add(run.run_id)
            _log.warning("history not readable", workflow_id=run.workflow_id, run_id=run.run_id, reason=why)
        return why

    async def _look_at(
        self, routes: Sequence[Watched], gate: asyncio.Semaphore
    ) -> tuple[list[RouteFinding], list[str]]:
        """What is wrong, and the workflow ids of the routes for which there was no time."""
        ends = asyncio.get_running_loop().time() + self._within
        late: list[str] = []
        # Those that did not answer come last, and among them in turn.
        order = sorted(routes, key=lambda one: self._silent.get(one.workflow_id, 0.0))
        answers = await asyncio.gather(*(self._look(one, gate, ends, late) for one in order))
        return [finding for finding in answers if finding is not None], late

    async def _look(
        self, watched: Watched, gate: asyncio.Semaphore, ends: float, late: list[str]
    ) -> RouteFinding | None:
        backends = sorted({watched.baseline, watched.canary, *watched.rest})
        async with gate:
            now = asyncio.get_running_loop().time()
            if now > ends:
                late.append(watched.workflow_id)
                return None
            try:
                async with asyncio.timeout(READ_WITHIN):
                    shown = await self._routers[watched.route.router].read(watched.route, backends)
                finding = judge(watched, shown)
            except CoalmineError as error:
                finding = unreadable(watched, str(error))
            except TimeoutError:
                finding = unreadable(watched, f"no answer within {READ_WITHIN:g} s")
            except Exception as error:
                # A router's adapter of somebody's own must not keep the others' routes from being looked at.
                _log.exception("route not readable", workflow_id=watched.workflow_id)
                finding = unreadable(watched, f"{type(error).__name__}: {error}")
            if finding is None:
                self._silent.pop(watched.workflow_id, None)
                return None
            if finding.kind == "unreadable":
                self._silent[watched.workflow_id] = now
            latest = await self._runs.described(watched.workflow_id, None)
            if latest is None or not latest.open:
                return finding
            # It may have started since it was listed, and what it does with its route is its own affair.
            return None if await self._runs.owns(latest) else beside(finding)

    @activity.defn(name=GUARD_RESTORE.name)
    async def guard_restore(self, request: GuardRestoreRequest) -> GuardRestored:
        """Write the weights of rest, unless a rollout runs; doing it again is doing it once.

        A rollout that starts between the question and the write loses nothing: it reads the route before it writes,
        or finds the generation taken, reads again and goes above it. One that has written since the finding was made
        carries a higher generation, and this write is refused.

        Raises:
            ApplicationError: ``TemporalUnavailable``, to be retried.
        """
        watched = request.watched
        with translate_errors():
            async with beating():
                if await self._runs.is_live(watched.workflow_id):
                    return GuardRestored(done=False, reason=f"{watched.workflow_id} runs now: the route is its own")
        shift = ShiftRequest(weights=watched.rest, generation=request.generation, route=watched.route, restoring=True)
        try:
            await self._traffic.shift(shift)
        except ApplicationError as error:
            if error.type not in STOOD_BACK:
                raise
            return GuardRestored(done=False, reason=f"{error.type}: {error.message}")
        return GuardRestored(done=True)
