"""The plan of faults: a seed gives it wholly, and it is broad."""

from __future__ import annotations

from tests.faults.catalogue import CATALOGUE
from tests.faults.plan import MOMENTS, make_plan


def test_a_seed_gives_the_same_plan_again() -> None:
    assert make_plan(5, 90, list(CATALOGUE)) == make_plan(5, 90, list(CATALOGUE))
    assert make_plan(5, 90, list(CATALOGUE)) != make_plan(6, 90, list(CATALOGUE))


def test_a_plan_as_long_as_the_table_fills_every_cell_once() -> None:
    plan = make_plan(5, len(CATALOGUE) * len(MOMENTS), list(CATALOGUE))
    assert {(fault.kind, fault.moment) for fault in plan} == {(kind, at) for kind in CATALOGUE for at in MOMENTS}
    assert len(CATALOGUE) >= 20


def test_a_bad_canary_is_never_planned_where_it_cannot_come() -> None:
    plan = make_plan(5, 500, list(CATALOGUE))
    assert any(fault.bad for fault in plan)
    assert not any(fault.bad and fault.moment in ("gate", "bake", "rollback") for fault in plan)
