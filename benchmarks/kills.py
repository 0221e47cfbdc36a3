"""kill -9 of the worker at random moments of rollouts that run side by side; outcomes are read from the proxies.

Each round starts one rollout per route: one that is good, one with ten times the errors, one that a human takes back
at a random moment, one that waits for an approval. The worker dies at random moments and a new one starts. Afterwards
every proxy's admin interface says where the traffic is, the route files which generations were written, the ledger
whether the record is whole.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError

from benchmarks import report
from benchmarks.ending import run
from benchmarks.ground import BASELINE, CANARY, Ground, WorkerProcess
from benchmarks.simulated_metrics import BASELINE_ERRORS, TICK, SimulatedMetrics
from coalmine.records import TASK_QUEUE, TASK_TIMEOUT, CanaryInput, RolloutReport, RolloutStatus, Submission, canary_id
from coalmine.spec.canary import CanarySpec

KINDS = ("good", "bad", "human", "approved")
EXPECTED = {"good": "promoted", "bad": "rolled_back", "human": "rolled_back", "approved": "promoted"}
_LIMIT = 120.0
_PROGRESS = {
    EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
    EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED,
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
}


@dataclass
class Rollout:
    """One rollout of one round, and what was seen of it."""

    kind: str
    route: str
    version: str
    handle: WorkflowHandle[Any, RolloutReport]
    shares: list[float] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def make_spec(ground: Ground, kind: str, route: str, version: str, metrics: str) -> CanarySpec:
    """Two steps of three seconds, a bake of two."""
    gate = {"gate": {"approval": {"count": 1, "timeout": "5m"}}} if kind == "approved" else {}
    return CanarySpec.model_validate(
        {
            "service": route,
            "environment": "faults",
            "arms": {
                "baseline": {"version": "1.0.0", "backend": BASELINE},
                "canary": {"version": version, "backend": CANARY},
            },
            "route": ground.route(route),
            "steps": [{"weight": 10, "for": "3s"}, {"weight": 50, "for": "3s", **gate}],
            "metrics": [
                {
                    "name": "errors",
                    "kind": "ratio",
                    "source": "prometheus",
                    "total": f'requests_total{{route="{route}",backend="{{arm.backend}}"}}',
                    "events": f'errors_total{{route="{route}",backend="{{arm.backend}}"}}',
                    "max": 0.1,
                    # Wide: workers are what fails here, and a good canary must show so within seconds.
                    "no_harm": 3.0,
                }
            ],
            "policy": {"look": "1s", "no_history": "roll_back", "no_data_limit": "30s", "max_extension": "5m"},
            "promotion": {"bake": "2s", "rollback_window": "0s"},
            "sources": {"prometheus": {"url": metrics, "scrape": f"{round(TICK * 1000)}ms", "flush": "0s"}},
            "notify": [],
            "ledger": {"path": str(ground.folder / "ledger")},
        }
    )


class Experiment:
    """Rounds of rollouts and kills."""

    def __init__(self, ground: Ground, metrics: SimulatedMetrics, seed: int) -> None:
        self._ground = ground
        self._metrics = metrics
        self._random = random.Random(seed)
        self._round = 0
        self.workers_started: list[datetime] = []
        self.kills = 0
        self.rollouts: list[Rollout] = []
        self.progress: list[float] = []

    async def run(self, kills: int) -> None:
        """Rounds until there were enough kills."""
        worker = await self._start_worker()
        while self.kills < kills:
            self._round += 1
            worker = await self._one_round(worker, min(2, kills - self.kills))
            wrong = [f"{r.route} {r.kind}: {'; '.join(r.wrong)}" for r in self.rollouts if r.wrong]
            print(f"round {self._round}: {self.kills} kills, {len(self.rollouts)} rollouts, wrong: {wrong}", flush=True)
        await worker.stop()

    async def _one_round(self, worker: WorkerProcess, kills: int) -> WorkerProcess:
        rollouts = [await self._start(kind, route) for kind, route in zip(KINDS, self._ground.routes, strict=True)]
        watching = [asyncio.create_task(self._watch(rollout)) for rollout in rollouts]
        people = [asyncio.create_task(self._people(rollout)) for rollout in rollouts]
        restarted: list[datetime] = []
        try:
            for _ in range(kills):
                await asyncio.sleep(self._random.uniform(0.2, 7))
                await worker.kill()
                self.kills += 1
                await asyncio.sleep(self._random.uniform(0, 1))
                worker = await self._start_worker()
                restarted.append(self.workers_started[-1])
            try:
                async with asyncio.timeout(_LIMIT):
                    for rollout in rollouts:
                        await self._finish(rollout)
            except TimeoutError:
                raise RuntimeError(await self._say_where(rollouts)) from None
        finally:
            for task in [*watching, *people]:
                task.cancel()
            await asyncio.gather(*watching, *people, return_exceptions=True)
        for rollout in rollouts:
            await self._examine(rollout, restarted)
            await self._reset(rollout.route)
        self.rollouts += rollouts
        return worker

    async def _start_worker(self) -> WorkerProcess:
        self.workers_started.append(datetime.now(UTC))
        return await self._ground.worker(len(self.workers_started))

    async def _start(self, kind: str, route: str) -> Rollout:
        version = f"2.{self._round}.0"
        self._metrics.routes[route].canary_errors = 10 * BASELINE_ERRORS if kind == "bad" else BASELINE_ERRORS
        spec = make_spec(self._ground, kind, route, version, self._metrics.url)
        handle = await self._ground.client.start_workflow(
            "Canary",
            CanaryInput(service=route, environment="faults", submission=Submission(spec=spec, by="faults")),
            id=canary_id("faults", route),
            task_queue=TASK_QUEUE,
            task_timeout=TASK_TIMEOUT,
            result_type=RolloutReport,
        )
        return Rollout(kind, route, version, handle)

    async def _people(self, rollout: Rollout) -> None:
        """What humans do in this rollout."""
        if rollout.kind == "human":
            await asyncio.sleep(self._random.uniform(0.5, 6))
            await rollout.handle.signal("rollback", {"by": "ana", "reason": "fault test"})
        if rollout.kind == "approved":
            await asyncio.sleep(self._random.uniform(0.5, 8))
            await rollout.handle.signal("approve", {"by": "bo", "reason": "fault test", "gate": "step-2"})

    async def _watch(self, rollout: Rollout) -> None:
        """Read what the proxies show, all the time."""
        envoys = self._ground.envoys[rollout.route]
        while True:
            for envoy in envoys:
                rollout.shares.append(await self._ground.canary_share(envoy))
            version = json.loads(envoys[0].route_file.read_text()).get("version_info", "0")
            rollout.generations.append(int(version.split(":")[0] or 0))
            await asyncio.sleep(0.02)

    async def _say_where(self, rollouts: list[Rollout]) -> str:
        """Where each rollout stands, for a round that does not end."""
        lines = [f"no end after {_LIMIT:g} s:"]
        for rollout in rollouts:
            status = await rollout.handle.query("status", result_type=RolloutStatus)
            why = status.reason or status.held_reason or "; ".join(status.unmet)
            lines.append(f"  {rollout.kind} {rollout.version}: {status.phase}, {status.looks} looks, {why}")
        return "\n".join(lines)

    async def _finish(self, rollout: Rollout) -> None:
        result = await rollout.handle.result()
        if result.outcome != EXPECTED[rollout.kind] and not self._too_late(rollout, result):
            rollout.wrong.append(f"outcome {result.outcome}: {result.reason}")

    @staticmethod
    def _too_late(rollout: Rollout, result: RolloutReport) -> bool:
        """The human's word may come after the release was through: then promoted is right."""
        return rollout.kind == "human" and result.outcome == "promoted"

    async def _examine(self, rollout: Rollout, restarted: list[datetime]) -> None:
        """I1 to I4 from the proxies, the files and the ledger; then the time to the next progress."""
        result = await rollout.handle.result()
        wanted = 100.0 if result.outcome == "promoted" else 0.0
        for envoy in self._ground.envoys[rollout.route]:
            shown = await self._ground.canary_share(envoy)
            if shown != wanted:
                rollout.wrong.append(f"I1: {envoy.admin_url} shows {shown:g} %, {result.outcome} wants {wanted:g} %")
        if rollout.kind == "bad" and max(rollout.shares, default=0.0) > 50:
            rollout.wrong.append(f"I2: the bad canary got {max(rollout.shares):g} %")
        if unknown := set(rollout.shares) - {0.0, 10.0, 50.0, 100.0}:
            rollout.wrong.append(f"I2: weights no step allows: {sorted(unknown)}")
        if rollout.generations != sorted(rollout.generations):
            rollout.wrong.append("I3: a file went back to an older generation")
        rollout.wrong += self._ledger_faults(result)
        await self._time_progress(rollout, restarted)

    def _ledger_faults(self, result: RolloutReport) -> list[str]:
        found: dict[int, str] = {}
        # heads.jsonl stands at the top and holds no entries.
        for path in (self._ground.folder / "ledger").glob("*/**/*.jsonl"):
            for line in path.read_text().splitlines():
                entry = json.loads(line)
                if entry["rollout_id"] == result.rollout_id:
                    if entry["sequence"] in found:
                        return [f"I4: sequence {entry['sequence']} of {result.rollout_id} twice"]
                    found[entry["sequence"]] = entry["kind"]
        if sorted(found) != list(range(1, len(found) + 1)) or "closed" not in found.values():
            return [f"I4: the ledger of {result.rollout_id} has {sorted(found)}"]
        return []

    async def _time_progress(self, rollout: Rollout, restarted: list[datetime]) -> None:
        history = await rollout.handle.fetch_history()
        moments = [e.event_time.ToDatetime(UTC) for e in history.events if e.event_type in _PROGRESS]
        for started in restarted:
            later = [moment for moment in moments if moment > started]
            if moments and moments[0] < started and later:
                self.progress.append((later[0] - started).total_seconds())

    async def _reset(self, route: str) -> None:
        """Make the promoted canary the baseline's equal again: traffic back to the baseline, by a newer generation."""
        from activities.routers.envoy import EnvoyRouter
        from coalmine.spec.canary import Route

        router, named = EnvoyRouter(), Route.model_validate(self._ground.route(route))
        state = await router.read(named)
        if state.weights.get(CANARY, 0) > 0:
            await router.apply(named, {BASELINE: 100.0, CANARY: 0.0}, state.generation + 1)
            await self._ground.until_restored(route)
        try:
            await self._ground.client.get_workflow_handle("fleet/faults").describe()
        except RPCError as error:
            raise RuntimeError("the fleet is gone") from error


async def measure(kills: int, seed: int) -> dict[str, Any]:
    """Run the experiment and sum it up."""
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        routes = tuple(f"shop-{kind}" for kind in KINDS)
        async with Ground(Path(folder), proxies=2, routes=routes) as ground, SimulatedMetrics(ground, seed) as metrics:
            experiment = Experiment(ground, metrics, seed)
            await experiment.run(kills)
    wrong = {f"{r.route} {r.version}": r.wrong for r in experiment.rollouts if r.wrong}
    return {
        "seed": seed,
        "kills": experiment.kills,
        "rollouts": len(experiment.rollouts),
        "right": len(experiment.rollouts) - len(wrong),
        "wrong": wrong,
        "next_progress_s": _progress(experiment.progress),
    }


def _progress(seconds: list[float]) -> dict[str, float | int | None]:
    if not seconds:
        return {"measured": 0, "p50": None, "p95": None, "max": None}
    return {
        "measured": len(seconds),
        "p50": round(report.quantile(seconds, 0.5), 2),
        "p95": round(report.quantile(seconds, 0.95), 2),
        "max": round(max(seconds), 2),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    figures = run(measure(asked.kills, asked.seed))
    print(json.dumps(figures, indent=2))
    print(report.write("kills", figures))
    raise SystemExit(1 if figures["wrong"] else 0)


if __name__ == "__main__":
    main()
