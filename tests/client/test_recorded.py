"""What every look found and what was shifted, read from a real history."""

from __future__ import annotations

from coalmine.client import Coalmine
from coalmine.records import Outcome
from coalmine.searching import RolloutRef
from tests.workflows.conftest import live, world
from tests.workflows.driving import Rollout
from tests.workflows.specs import quick

__all__ = ["live", "world"]


async def test_looks_and_shifts_of_a_real_rollout(live: Rollout) -> None:
    spec = quick(
        service="recorded", steps=[{"weight": 10, "for": "1s"}], promotion={"bake": "1s", "rollback_window": "1s"}
    )
    await live.start(spec=spec)
    report = await live.result()
    assert report.outcome is Outcome.PROMOTED
    found = await Coalmine(live.client).recorded(RolloutRef(live.id))
    assert [look.look for look in found.looks] == list(range(1, len(found.looks) + 1))
    assert len(found.looks) == report.looks
    assert {verdict.metric for look in found.looks for verdict in look.verdicts} == {"errors"}
    assert [share for _, share in found.shares()] == [10.0, 100.0]
    assert found.snapshot == {"checkout-v1": 100.0}
    assert found.looks[0].at < found.looks[-1].at
