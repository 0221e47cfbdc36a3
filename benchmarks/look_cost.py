"""What a look costs in history: events and bytes, for errors and latency, on the whole local stack with real traffic.

One rollout looks every second for a while. The cost counts everything from the first shift to the promotion, the ledger
and the messages included, over the looks in between.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.ending import run
from coalmine.client import Coalmine
from coalmine.connection import Settings, connect_client
from coalmine.local import stack as local
from coalmine.local.demo_releases import HEALTHY, Release, as_yaml
from coalmine.local.processes import Process
from coalmine.records import RolloutStatus, Verb
from coalmine.searching import RolloutRef
from coalmine.spec import parse_spec

RATE = 200
MOST_EVENTS, MOST_BYTES = 20, 16 * 1024


async def measure(seconds: int) -> dict[str, Any]:
    """One rollout of so many seconds, with a look each."""
    with tempfile.TemporaryDirectory(prefix="look-") as folder:
        stack = await local.up(Path(folder), [HEALTHY])
        load = Process("load", stack.path)
        try:
            command = [sys.executable, "-m", "coalmine.cli", "load", stack.envoy["url"]]
            load.start([*command, "--rate", str(RATE), "--for", f"{seconds + 120}s"], dict(os.environ))
            await asyncio.sleep(8)  # Prometheus' first scrape comes up to 5 s after its start.
            return await _one_rollout(stack, seconds)
        finally:
            load.stop()
            await asyncio.to_thread(local.down, Path(folder))


async def _one_rollout(stack: local.Stack, seconds: int) -> dict[str, Any]:
    steps = [{"weight": 50, "for": f"{10 * seconds}s"}]
    release = Release("cost", "1.0.1", "promoted", HEALTHY, steps, look="1s")
    await local.deploy(stack, local.SLOTS[1], release.version, [HEALTHY])
    spec = parse_spec(as_yaml(release.spec(stack, (local.FIRST_VERSION, local.SLOTS[0]), local.SLOTS[1])))
    where = Settings(stack.temporal["address"], stack.temporal["namespace"], "the local stack", None, {})
    coalmine = Coalmine(await connect_client(where), where)
    receipt = await coalmine.start(spec, by="bench")
    ref = RolloutRef(receipt.workflow_id, receipt.run_id)
    async for status in coalmine.follow(ref):
        if isinstance(status, RolloutStatus) and status.looks >= seconds:
            break
    await coalmine.send(ref, Verb.ROLLBACK, by="bench", reason="enough looks")
    await coalmine.wait(ref)
    handle = coalmine.temporal.get_workflow_handle(receipt.workflow_id, run_id=receipt.run_id)
    history = await handle.fetch_history()
    evaluated = [
        index
        for index, event in enumerate(history.events)
        if event.activity_task_scheduled_event_attributes.activity_type.name == "evaluate"
    ]
    # From the first look's scheduling to the last's: whole looks, with all that happens between them.
    between = history.events[evaluated[0] : evaluated[-1]]
    looks = len(evaluated) - 1
    size = sum(event.ByteSize() for event in between)
    return {
        "looks": looks,
        "metrics": ["errors", "latency"],
        "events_per_look": round(len(between) / looks, 2),
        "bytes_per_look": round(size / looks),
        "limit_events": MOST_EVENTS,
        "limit_bytes": MOST_BYTES,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    figures = run(measure(parser.parse_args().seconds))
    print(figures)
    print(report.write("look_cost", figures))
    raise SystemExit(figures["events_per_look"] > MOST_EVENTS or figures["bytes_per_look"] > MOST_BYTES)


if __name__ == "__main__":
    main()
