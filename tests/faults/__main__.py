"""``python -m tests.faults --seed 1 --minutes 18 --faults 330``: break things, look from outside, write it down.

``--broken`` runs workers that lack one promise, under the faults that meet it: the harness must find violations then
(exit code 0 if it does), and what it found is written beside.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.ending import run
from benchmarks.ground import WorkerProcess
from benchmarks.simulated_metrics import SimulatedMetrics
from tests.faults import examine, page
from tests.faults.act import Act, play_all
from tests.faults.broken_worker import BROKEN, MET_AT, TOUCHED, VARIABLE
from tests.faults.catalogue import CATALOGUE
from tests.faults.disk_ground import DiskGround
from tests.faults.plan import MOMENTS, PlannedRollout, make_plan, that_holds
from tests.faults.scene import Scene


async def carry_out(
    seed: int,
    plan: list[PlannedRollout],
    minutes: float,
    broken: str,
    routes: int,
    keep: Path | None = None,
    *,
    advisory: bool = False,
    worker_kind: type[WorkerProcess] = WorkerProcess,
) -> tuple[list[Act], list[str]]:
    """All faults of a plan on one stack, and what is wrong with its ledger at the end.

    SIGTERM ends it in order, nothing is left running.
    """
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    if broken:
        os.environ[VARIABLE] = broken
    names = tuple(f"shop{number}" for number in range(routes))
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        # One route is a fleet of five proxies.
        proxies = {name: 5 if name == names[0] else 2 for name in names}
        async with DiskGround(Path(folder), proxies, names) as ground, SimulatedMetrics(ground, seed) as metrics:
            ground.worker_kind = worker_kind
            if broken:
                ground.worker_module = "tests.faults.broken_worker"
            elif advisory:
                ground.worker_module = "tests.faults.advisory_worker"
            scene = Scene(ground, metrics, keep, advisory=advisory)
            try:
                await scene.open()
                acts = await play_all(scene, plan, asyncio.get_running_loop().time() + 60 * minutes)
            finally:
                await scene.close()
            return acts, [*examine.chains(ground.folder), *scene.wrong]


def figures(acts: list[Act], chains: list[str], seed: int, planned: int, minutes: float) -> dict[str, Any]:
    """What is written to ``faults.json``: faults that came too late for their rollout are counted apart."""
    told = [
        {"kind": fault.kind, "moment": fault.moment, "seed": fault.seed, "violations": act.wrong}
        for act in acts
        for fault in (act.injected or (act.planned.faults if act.wrong else ()))
    ]
    return {
        "seed": seed,
        "planned": planned,
        "minutes": round(minutes, 1),
        "rollouts": len(acts),
        "too_late": sum(len(act.planned.faults) for act in acts) - len(told),
        "ledger": chains,
        "faults": told,
    }


LEAST_FAULTS = 300
LEAST_KINDS = 20
"""A whole run that was asked for as many, and carried out fewer, has failed."""


def main() -> int:
    """Carry out, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=18, help="begin no further rollout after this")
    parser.add_argument("--faults", type=int, default=330)
    parser.add_argument(
        "--only", choices=sorted(CATALOGUE), action="append", help="this kind of fault; may be repeated"
    )
    parser.add_argument("--broken", choices=sorted(BROKEN), default="", help="take a promise out of the worker")
    parser.add_argument(
        "--advisory", action="store_true", help="a router without a fence: older writes come through, and are mended"
    )
    parser.add_argument("--moment", choices=MOMENTS, help="faults at this moment only, of the kinds that are asked for")
    parser.add_argument("--again", type=int, metavar="SEED", help="only the rollout that holds the fault of this seed")
    parser.add_argument("--routes", type=int, default=6, help="rollouts side by side")
    parser.add_argument("--keep", type=Path, help="folder for the histories of rollouts with violations")
    asked = parser.parse_args()
    if asked.keep is not None:
        asked.keep.mkdir(parents=True, exist_ok=True)
    if asked.advisory and asked.broken:
        parser.error("--advisory: not with --broken, whose workers are others")
    kinds = asked.only or TOUCHED.get(asked.broken, list(CATALOGUE))
    moments = [asked.moment] if asked.moment else MET_AT.get(asked.broken, MOMENTS)
    plan = make_plan(asked.seed, asked.faults, kinds, moments)
    if asked.again is not None:
        plan = that_holds(plan, asked.again)
        if not plan:
            parser.error(f"--again: {asked.again} is the seed of no fault of this plan: give the run's own --seed too")
    began = time.monotonic()
    acts, chains = run(
        carry_out(asked.seed, plan, asked.minutes, asked.broken, asked.routes, asked.keep, advisory=asked.advisory)
    )
    found = figures(acts, chains, asked.seed, asked.faults, (time.monotonic() - began) / 60)
    violated = [fault for fault in found["faults"] if fault["violations"]]
    print(
        f"{len(found['faults'])} faults, {found['too_late']} too late, {len(violated)} with violations, "
        f"in {found['minutes']:g} minutes"
    )
    for fault in [*violated, *chains]:
        print(fault)
    if asked.broken:
        print(f"{asked.broken}: {'caught' if violated or chains else 'NOT CAUGHT'}")
        print(page.write_broken(asked.broken, found), page.write())
        return 0 if violated or chains else 1
    if asked.advisory:
        print(report.write("faults-advisory", found), page.write())
    elif not asked.only and not asked.moment and asked.again is None:
        print(report.write("faults", found), page.write())
        carried, of_kinds = len(found["faults"]), len({fault["kind"] for fault in found["faults"]})
        if asked.faults >= LEAST_FAULTS > carried or of_kinds < LEAST_KINDS <= asked.faults:
            print(f"this shows too little: {carried} faults of {of_kinds} kinds; a quieter machine, or more --minutes")
            return 1
    return 1 if violated or chains else 0


if __name__ == "__main__":
    raise SystemExit(main())
