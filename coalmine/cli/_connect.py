"""Asking the world a spec names, from here: can the router do the steps, do the sources answer for both arms?"""

from __future__ import annotations

import asyncio

from activities.routers.registry import Routers
from activities.sources.registry import make_source
from coalmine.errors import CoalmineError
from coalmine.records import Check
from coalmine.spec.canary import CanarySpec
from coalmine.spec.metrics import Metric


def check_world(spec: CanarySpec) -> list[Check]:
    """Every check of the router and of each metric; writes nothing, and never raises for what the world answers."""
    return asyncio.run(ask_world(spec))


async def ask_world(spec: CanarySpec) -> list[Check]:
    """As ``check_world``, on a loop that runs already."""
    groups = await asyncio.gather(_ask_router(spec), *(_ask_source(spec, metric) for metric in spec.metrics))
    checks: dict[tuple[str, bool, str], Check] = {}
    for group in groups:
        for check in group:
            # Metrics of one source ask the same of it, and measure its clock a little differently.
            of_source = check.name.startswith("source ")
            checks.setdefault((check.name, check.ok, "" if of_source else check.reason), check)
    return list(checks.values())


async def _ask_router(spec: CanarySpec) -> list[Check]:
    arms = spec.arms
    weights = [*(step.weight for step in spec.steps), 100.0]
    try:
        router = Routers()[spec.route.router]
        can = await router.capabilities(spec.route)
        checks = [Check(ok=True, name="router", reason=f"{spec.route.router}: {can.fencing} fencing")]
        return checks + await router.check(spec.route, [arms.baseline.backend, arms.canary.backend], weights)
    except CoalmineError as error:
        return [Check(ok=False, name="router", reason=str(error))]


async def _ask_source(spec: CanarySpec, metric: Metric) -> list[Check]:
    source = spec.sources[metric.source]
    try:
        return await make_source(source.kind).check(source, metric, spec.arms)
    except CoalmineError as error:
        return [Check(ok=False, name=metric.name, reason=str(error))]
