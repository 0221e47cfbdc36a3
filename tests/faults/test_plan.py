"""The plan of faults: a seed gives it wholly, and it is broad."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from tests.faults.catalogue import CATALOGUE
from tests.faults.plan import ENDING, MOMENTS, make_plan, that_holds

KINDS = list(CATALOGUE)


def test_a_seed_gives_the_same_plan_again() -> None:
    assert make_plan(5, 90, KINDS) == make_plan(5, 90, KINDS)
    assert make_plan(5, 90, KINDS) != make_plan(6, 90, KINDS)


def test_the_seed_of_one_fault_finds_its_rollout_in_the_plan() -> None:
    plan = make_plan(5, 330, KINDS)
    seeds = [fault.seed for rollout in plan for fault in rollout.faults]
    assert len(set(seeds)) == len(seeds)
    for rollout in plan[:20]:
        assert that_holds(plan, rollout.faults[-1].seed) == [rollout]
    assert that_holds(plan, 2**31) == []


def test_a_plan_as_long_as_the_table_fills_every_cell_once() -> None:
    plan = make_plan(5, len(KINDS) * len(MOMENTS), KINDS)
    cells = Counter((fault.kind, fault.moment) for rollout in plan for fault in rollout.faults)
    assert cells == {(kind, moment): 1 for kind in KINDS for moment in MOMENTS}
    assert len(KINDS) >= 20


def test_many_rollouts_have_several_faults_of_several_parts() -> None:
    plan = make_plan(5, 330, KINDS)
    sizes = Counter(len(rollout.faults) for rollout in plan)
    assert sizes[2] + sizes[3] > 100
    assert max(sizes) <= 3
    for rollout in plan:
        assert len({fault.part for fault in rollout.faults}) == len(rollout.faults)


def test_what_ends_a_rollout_comes_last() -> None:
    for rollout in make_plan(5, 500, KINDS):
        assert not any(fault.kind in ENDING or fault.moment == "rollback" for fault in rollout.faults[:-1])


def test_a_moment_comes_after_those_before_it() -> None:
    pairs = {
        (first.moment, later.moment)
        for rollout in make_plan(5, 500, KINDS)
        for first, later in pairwise(rollout.faults)
    }
    assert {("gate", "bake"), ("bake", "close"), ("look", "gate")} <= pairs
    for first, later in pairs:
        # Early moments come in one rollout in whatever order; nobody who was sent back reaches a gate.
        assert first in ("start", "shift", "look") or later in {"gate": ("bake", "window", "close")}.get(
            first, ("window", "close")
        )


def test_a_bad_canary_is_never_planned_where_it_cannot_come() -> None:
    plan = make_plan(5, 500, KINDS)
    assert any(rollout.bad for rollout in plan)
    for rollout in plan:
        assert not rollout.bad or all(
            f.moment not in ("gate", "bake", "window", "close", "rollback") for f in rollout.faults
        )


def test_the_kinds_that_end_a_rollout_are_kinds() -> None:
    assert set(KINDS) >= ENDING


def test_about_half_of_the_rollouts_start_as_the_command_does() -> None:
    plan = make_plan(1, 330, KINDS)
    by_command = [rollout for rollout in plan if rollout.by_command]
    assert len(plan) / 3 < len(by_command) < 2 * len(plan) / 3
    resets = {fault.moment for rollout in by_command for fault in rollout.faults if fault.kind == "workflow-reset"}
    assert len(resets) > 2
