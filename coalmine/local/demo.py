"""The demo: three releases (and a minute of learning) through the whole system, on real parts.

Nothing in the table comes from the rollouts' own state but outcome and reason: requests are counted by the demo service
itself, the end of the bad version is read from Envoy's admin interface.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from activities.routers.envoy import EnvoyRouter
from coalmine.client import Coalmine, is_over
from coalmine.connection import Settings, connect_client
from coalmine.errors import RouterError
from coalmine.local import stack as local
from coalmine.local.demo_releases import APPROVER, ENVIRONMENT, GATE, HEALTHY, RATE, Release, as_yaml, releases
from coalmine.local.processes import LocalStackError, Process
from coalmine.local.signals import cancelled_by_signals
from coalmine.local.temporal import temporal_program
from coalmine.records import Cause, Phase, RolloutStatus, Verb, canary_id
from coalmine.searching import RolloutRef
from coalmine.spec import parse_spec

Say = Callable[[str], None]
WARM_UP = 8.0
"""Seconds of load before the first release: Prometheus' first scrape comes up to 5 s after its start."""
LIMIT = timedelta(seconds=150)
"""A scenario that takes longer has failed."""
_POLL = 0.05


@dataclass
class Scenario:
    """One row of the table."""

    name: str
    version: str
    expected: str
    outcome: str = "none"
    canary_requests: int = 0
    """Requests the version answered until its outcome, as it counted itself."""
    seconds_to_rollback: float | None = None
    """From its first bad response (a 500, or slower than the healthy p99) to no traffic, as Envoy shows it."""
    seconds: float = 0.0
    workflow_id: str = ""
    run_id: str = ""
    decision: str = ""
    reason: str = ""

    @property
    def right(self) -> bool:
        """It ended as it must, and for the right reason: a bad release must be judged bad, not run out of data."""
        judged = self.decision == Cause.ANALYSIS or self.expected != "rolled_back"
        return self.outcome == self.expected and judged


@dataclass
class DemoReport:
    """The whole table, and where to look."""

    scenarios: list[Scenario] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    logs: str = ""
    seconds: float = 0.0

    @property
    def right(self) -> bool:
        """Every scenario ended as it must, and none is missing."""
        return len(self.scenarios) == len(releases()) and all(scenario.right for scenario in self.scenarios)

    def as_data(self) -> dict[str, Any]:
        """For ``-o json``; the history's own rollout is listed apart, because nothing is judged by it."""
        rows = [asdict(scenario) for scenario in self.scenarios]
        return {
            "scenarios": rows[1:],
            "history": rows[:1],
            "right": self.right,
            "links": self.links,
            "logs": self.logs,
            "seconds": round(self.seconds, 1),
        }


async def run_demo(folder: Path, say: Say, keep: bool = False) -> DemoReport:
    """Bring the stack up, run all releases, and take it down again (unless ``keep``).

    Raises:
        LocalStackError: the stack does not come up.
        CoalmineError: a release could not be started.
        KeyboardInterrupt: the process was told to end; the stack is down.
    """
    with cancelled_by_signals():
        return await _run(folder, say, keep)


async def _run(folder: Path, say: Say, keep: bool) -> DemoReport:
    began = time.monotonic()
    report = DemoReport(logs=str(folder))
    _forget(folder)
    say("starting Temporal, Envoy, Prometheus, the demo service in two slots, and a worker ...")
    stack = await local.up(folder, [HEALTHY])
    try:
        await _run_all(stack, report, say)
    finally:
        report.seconds = time.monotonic() - began
        _load(stack).stop()
        if keep:
            say(f"still up: {stack.temporal['ui']}; coalmine down ends it")
        else:
            await asyncio.to_thread(local.down, folder)
    return report


def _forget(folder: Path) -> None:
    """Begin anew: rollouts of an earlier demo had other ports, and its ledger would be this one's history."""
    if any(local.running(folder).values()):
        return
    shutil.rmtree(folder / "ledger", ignore_errors=True)
    for left in folder.glob("temporal.db*"):
        left.unlink()


async def _run_all(stack: local.Stack, report: DemoReport, say: Say) -> None:
    say(f"Temporal UI: {stack.temporal['ui']}/namespaces/{stack.temporal['namespace']}/workflows")
    _start_load(stack)
    where = Settings(
        stack.temporal["address"], stack.temporal["namespace"], "the local stack", stack.temporal["ui"], {}
    )
    coalmine = Coalmine(await connect_client(where), where)
    await asyncio.sleep(WARM_UP)
    baseline = (local.FIRST_VERSION, local.SLOTS[0])
    for release in releases():
        canary = next(slot for slot in local.SLOTS if slot != baseline[1])
        scenario = await _run_one(coalmine, stack, release, baseline, canary, say)
        report.scenarios.append(scenario)
        link = coalmine.ui_link(scenario.workflow_id, scenario.run_id)
        report.links[release.name] = link or stack.temporal["ui"]
        if scenario.outcome == "promoted":
            baseline = (release.version, canary)


async def _run_one(
    coalmine: Coalmine, stack: local.Stack, release: Release, baseline: tuple[str, str], canary: str, say: Say
) -> Scenario:
    """Deploy one version beside the stable one, release it, and see what becomes of it."""
    scenario = Scenario(release.name, release.version, release.expected)
    _load(stack).check()
    say(f"\n{release.name}: {baseline[0]} -> {release.version}")
    await local.deploy(stack, canary, release.version, [release.behaviour], slow=HEALTHY.p99())
    text = as_yaml(release.spec(stack, baseline, canary))
    file = stack.path / f"{release.version}.yaml"
    file.write_text(text)
    spec = parse_spec(text, str(file))
    began = time.monotonic()
    receipt = await coalmine.start(spec, by="demo", reason=release.name)
    scenario.workflow_id, scenario.run_id = receipt.workflow_id, receipt.run_id
    if receipt.disposition != "started":
        scenario.outcome, scenario.reason = receipt.disposition, receipt.reason
        return scenario
    ref = RolloutRef(receipt.workflow_id, receipt.run_id)
    zero = asyncio.create_task(_traffic_ends(spec.route, canary))
    telling = asyncio.create_task(_tell(coalmine, stack, release, ref, say))
    try:
        status = await coalmine.wait(ref, LIMIT)
        if not is_over(status):
            # A release that hangs must not bar the way of the next ones.
            await coalmine.send(ref, Verb.ROLLBACK, by="demo", reason=f"no outcome within {LIMIT}")
            status = (await coalmine.wait(ref, LIMIT)).model_copy(update={"outcome": None, "reason": status.reason})
        await _close(scenario, stack, canary, status, zero)
    finally:
        zero.cancel()
        telling.cancel()
        await asyncio.gather(zero, telling, return_exceptions=True)
    scenario.seconds = round(time.monotonic() - began, 1)
    say(f"  {scenario.outcome}: {scenario.reason}")
    return scenario


async def _close(
    scenario: Scenario, stack: local.Stack, canary: str, status: RolloutStatus, zero: asyncio.Task[float]
) -> None:
    scenario.outcome = str(status.outcome or "no outcome")
    scenario.decision = str(status.cause or Cause.ANALYSIS)
    scenario.reason = status.reason
    stats = await local.slot_stats(stack, canary)
    scenario.canary_requests = int(stats["requests"])
    if scenario.outcome == "rolled_back":
        try:
            ended = await asyncio.wait_for(zero, 10)
        except TimeoutError:
            scenario.outcome, scenario.reason = "still has traffic", f"Envoy still sends it requests; {scenario.reason}"
            return
        scenario.seconds_to_rollback = round(ended - float(stats["first_bad"] or ended), 2)


async def _traffic_ends(route: Any, canary: str) -> float:
    """When Envoy shows the canary without traffic again, after it had some; seconds since 1970."""
    router, had = EnvoyRouter(), False
    while True:
        try:
            shown = (await router.read(route)).proxies[0].weights.get(canary, 0.0)
        except RouterError:
            shown = 0.0 if not had else 1.0
        if had and shown == 0:
            return time.time()
        had = had or shown > 0
        await asyncio.sleep(_POLL)


async def _tell(coalmine: Coalmine, stack: local.Stack, release: Release, ref: RolloutRef, say: Say) -> None:
    """Say what happens, and send the approval when it is asked for."""
    last, approved = "", False
    async for status in coalmine.follow(ref, every=0.3):
        if not isinstance(status, RolloutStatus):
            continue
        line = f"  {status.canary_weight:>5g} %  {status.phase}"
        if line != last:
            say(line)
            last = line
        if release.approve and not approved and status.phase is Phase.GATED:
            approved = True
            say(f"         gate '{GATE}' waits: {APPROVER} approves by `temporal workflow signal`")
            await _approve(stack)


async def _approve(stack: local.Stack) -> None:
    """The real command a person would type."""
    command = [
        *(temporal_program(), "workflow", "signal"),
        *("--address", stack.temporal["address"], "--namespace", stack.temporal["namespace"]),
        *("--workflow-id", canary_id(ENVIRONMENT, local.SERVICE), "--name", "approve"),
        *("--input", f'{{"by":"{APPROVER}","reason":"looks fine"}}'),
    ]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await process.communicate()
    if process.returncode != 0:
        raise LocalStackError(f"temporal workflow signal failed: {printed.decode(errors='replace').strip()}")


def _load(stack: local.Stack) -> Process:
    return Process("load", stack.path)


def _start_load(stack: local.Stack) -> None:
    """Open-loop load through Envoy, in a process of its own, for longer than the demo takes."""
    _load(stack).start(
        [
            sys.executable,
            "-m",
            "coalmine.cli",
            "load",
            stack.envoy["url"],
            "--rate",
            str(RATE),
            "--for",
            "10m",
            "--in-flight",
            "600",
        ],
        dict(os.environ),
    )
