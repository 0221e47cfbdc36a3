"""Somebody changes a running rollout's weights by hand, past the rollout: it has to notice, and to put its own back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from activities.routers.envoy import EnvoyRouter
from benchmarks.ground import BASELINE, CANARY
from coalmine.errors import RouterError, StaleGeneration
from coalmine.spec.canary import Route
from tests.faults.plan import TooLate

if TYPE_CHECKING:
    from tests.faults.act import Act

SHARE = 5.0
"""Percent for the canary: less than any step gives it, so that it is seen whose weights a proxy shows."""


WITHIN = 60.0
"""Seconds until the rollout has to have written its own weights again. It looks every second, but other faults may have
the workers, the server or the ledger away meanwhile."""


async def route_by_hand(act: Act) -> None:
    """Somebody gives the canary 5 % by hand, under a generation above all that were seen."""
    router, named = EnvoyRouter(), Route.model_validate(act.scene.ground.route(act.route))
    while True:
        # Before the first step there is nothing that anybody would change.
        while act.seen.share == 0 and not await act.is_closed():
            await asyncio.sleep(0.02)
        if await act.is_closed():
            raise TooLate
        # At 100 % it may be over at any moment, and the guard's from then on.
        looks = act.seen.share < 100
        generation = act.generation() + 1
        act.by_hand[generation] = SHARE
        try:
            await router.apply(named, {BASELINE: 100.0 - SHARE, CANARY: SHARE}, generation)
            break
        except StaleGeneration:
            del act.by_hand[generation]  # The rollout was first: nothing was written.
        except (RouterError, TimeoutError):
            await asyncio.sleep(0.1)  # A fault of another keeps the files; some may be written.
    if looks:
        await _answered(act, generation)


async def _answered(act: Act, generation: int) -> None:
    try:
        async with asyncio.timeout(WITHIN):
            while act.generation() <= generation and not await act.is_closed():
                await asyncio.sleep(0.1)
    except TimeoutError:
        act.add(f"a change by hand under generation {generation} stood for {WITHIN:g} s")
