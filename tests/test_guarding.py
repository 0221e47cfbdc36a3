"""What the guard decides: every route, every history of findings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine import guarding
from coalmine.guard_page import page
from coalmine.guard_telling import KEPT_UNDELIVERED
from coalmine.guarding import judge, take_in
from coalmine.ownership import Run, RunFacts, newest_first, rest_of, same_weights
from coalmine.records import (
    GuardSettings,
    GuardState,
    ProxyState,
    RouteFinding,
    RouteState,
    Survey,
    Watched,
)
from tests.workflows.specs import make_spec

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEFORE, AFTER = {"checkout-v1": 100.0, "checkout-v2": 0.0}, {"checkout-v1": 0.0, "checkout-v2": 100.0}
KEY = "canary/test/checkout"


def watched(**changes: Any) -> Watched:
    spec = make_spec(notify=[{"kind": "log"}])
    run = Run(workflow_id=KEY, run_id="r1", open=False, ended="terminated", started_at=NOON)
    facts = RunFacts(spec=spec, rollout_id="test/checkout/1.1.0/1", written=True, snapshot=BEFORE)
    found = rest_of(run, facts)
    assert found is not None
    return found.model_copy(update=changes)


def state(**changes: Any) -> GuardState:
    return GuardState(environment="test", number="1", settings=GuardSettings(**changes))


def split(canary: float = 10.0, generation: int = 3) -> RouteFinding:
    weights = {"checkout-v1": 100.0 - canary, "checkout-v2": canary}
    found = judge(watched(), RouteState(weights=weights, generation=generation))
    assert found is not None
    return found


def survey(*findings: RouteFinding, **changes: Any) -> Survey:
    return Survey(findings=list(findings), watched=[watched()], looked=1, **changes)


class TestOwnership:
    """Who a route belongs to."""

    def run(self, **changes: Any) -> Run:
        given = {"workflow_id": KEY, "run_id": "r1", "open": False, "ended": "terminated", "started_at": NOON}
        return Run.model_validate({**given, **changes})

    def test_a_promoted_rollout_leaves_all_on_the_canary(self) -> None:
        facts = RunFacts(spec=make_spec(), written=True, snapshot=BEFORE)
        rest = rest_of(self.run(outcome="promoted"), facts)
        assert rest is not None
        assert (rest.rest, rest.ended) == (AFTER, "promoted")

    def test_one_that_was_reset_in_its_window_leaves_the_snapshot(self) -> None:
        facts = RunFacts(spec=make_spec(), written=True, snapshot=BEFORE)
        rest = rest_of(self.run(outcome="promoted", phase="window"), facts, in_window=True)
        assert rest is not None
        assert (rest.rest, rest.ended) == (BEFORE, "reset in its window")

    @pytest.mark.parametrize("outcome", ["", "rolled_back", "rejected", "failed", "superseded"])
    def test_every_other_end_leaves_the_snapshot(self, outcome: str) -> None:
        rest = rest_of(self.run(outcome=outcome), RunFacts(spec=make_spec(), written=True, snapshot=BEFORE))
        assert rest is not None
        assert (rest.rest, rest.ended) == (BEFORE, outcome or "terminated")

    def test_who_never_wrote_says_nothing(self) -> None:
        assert rest_of(self.run(), RunFacts(spec=make_spec(), snapshot=BEFORE)) is None
        assert rest_of(self.run(), RunFacts(spec=make_spec(), written=True)) is None

    def test_a_live_rollout_owns_its_route(self) -> None:
        assert rest_of(self.run(open=True), RunFacts(spec=make_spec(), written=True, snapshot=BEFORE)) is None

    def test_the_latest_run_comes_first(self) -> None:
        runs = [self.run(run_id=str(n), started_at=NOON + timedelta(hours=n)) for n in (1, 3, 2)]
        assert [run.run_id for run in newest_first(runs)[KEY]] == ["3", "2", "1"]


class TestJudge:
    """One route, no owner."""

    @settings(deadline=None)
    @given(st.integers(0, 10_000), st.booleans())
    def test_it_is_right_exactly_when_it_rests(self, hundredths: int, promoted: bool) -> None:
        canary = hundredths / 100
        shown = RouteState(weights={"checkout-v1": 100 - canary, "checkout-v2": canary}, generation=7)
        one = watched(rest=AFTER if promoted else BEFORE)
        found = judge(one, shown)
        assert (found is None) == same_weights(shown.weights, one.rest)
        if found is not None:
            assert found.kind == ("wrong_arm" if hundredths in (0, 10_000) else "split")
            assert (found.generation, found.restorable) == (7, True)

    def test_one_proxy_that_lags_is_a_finding(self) -> None:
        proxies = [ProxyState(proxy="a", weights=BEFORE), ProxyState(proxy="b", weights=AFTER, generation=9)]
        found = judge(watched(), RouteState(weights=BEFORE, generation=8, proxies=proxies))
        assert found is not None
        assert (found.kind, found.weights, found.generation) == ("wrong_arm", AFTER, 9)

    def test_a_stranger_is_never_written_over(self) -> None:
        found = judge(watched(), RouteState(weights={"checkout-v3": 100.0}, generation=1))
        assert found is not None
        assert not found.restorable
        assert "checkout-v3 is of no rollout known here" in found.reason

    def test_the_sentence_says_what_and_whose(self) -> None:
        assert split().reason == (
            "traffic is split: checkout-v1 90 %, checkout-v2 10 %, and no rollout owns the route; it should rest at "
            "checkout-v1 100 %, where the last rollout, test/checkout/1.1.0/1 (terminated), leaves it"
        )


class TestTakingIn:
    """Looks over time."""

    def test_beside_a_rollout_nobody_is_told_to_turn_on_what_is_on(self) -> None:
        found = state()
        take_in(found, survey(guarding.beside(split()), beside=[KEY]), NOON)
        text = found.outbox[0].notification.text
        assert text.endswith("nothing is written while it does. Put it right by hand, or end that rollout.")

    def test_people_are_told_once_and_it_is_restored_after_the_grace(self) -> None:
        guard = state(grace=timedelta(minutes=2))
        due = [take_in(guard, survey(split()), NOON + timedelta(minutes=n)) for n in range(4)]
        assert due == [[], [], [KEY], [KEY]]
        (told,) = guard.outbox
        assert told.notification.severity == "critical"
        assert "It is restored in 2m, unless a rollout owns it by then." in told.notification.text
        assert [write.entries[0].kind for write in guard.backlog] == ["guard_found"]

    def test_a_policy_that_only_tells_never_restores(self) -> None:
        guard = state(policy="tell", grace=timedelta(0))
        assert take_in(guard, survey(split()), NOON) == []
        assert "Nothing is written" in guard.outbox[0].notification.text

    def test_what_is_mended_is_closed_and_told(self) -> None:
        guard = state()
        take_in(guard, survey(split()), NOON)
        take_in(guard, survey(), NOON + timedelta(minutes=1))
        assert guard.open == {}
        assert [told.notification.severity for told in guard.outbox] == ["critical", "info"]

    def test_a_history_that_nobody_can_read_closes_no_finding_and_is_said(self) -> None:
        guard = state()
        take_in(guard, survey(split()), NOON)
        take_in(guard, Survey(unknown={KEY: "its payloads are encrypted", "canary/test/x": "so"}), NOON)
        assert list(guard.open) == [KEY]
        assert guard.failure == (
            f"where the route of {KEY} (and 1 more) should rest cannot be told: its payloads are encrypted"
        )
        take_in(guard, survey(), NOON + timedelta(minutes=1))
        assert (guard.open, guard.failure) == ({}, "")

    def test_where_there_are_too_many_to_list_the_page_says_so(self) -> None:
        guard = state()
        take_in(guard, survey(cut=True, unknown={"canary/test/x": "so"}), NOON)
        first, second = guard.failure.split("; ")
        assert (first, second) == (guarding.CUT, "where the route of canary/test/x should rest cannot be told: so")
        assert guarding.CUT in page(guard)
        assert guarding.status(guard).failure == guard.failure
        take_in(guard, survey(), NOON + timedelta(minutes=1))
        assert guarding.CUT not in page(guard)

    def test_a_rollout_that_took_over_is_said_so(self) -> None:
        guard = state()
        take_in(guard, survey(split()), NOON)
        take_in(guard, survey(live=[KEY]), NOON + timedelta(minutes=1))
        assert guard.backlog[-1].entries[0].reason == "a rollout owns the route now"

    def test_unreadable_is_told_after_the_grace_and_never_restored(self) -> None:
        guard = state(grace=timedelta(minutes=2))
        found = guarding.unreadable(watched(), "no answer")
        told = []
        for minute in range(6):
            assert take_in(guard, survey(found), NOON + timedelta(minutes=minute)) == []
            told.append(len(guard.outbox))
        assert told == [0, 0, 1, 1, 1, 1]

    def test_a_router_that_comes_and_goes_neither_repeats_nor_delays(self) -> None:
        guard = state(grace=timedelta(minutes=3))
        silent = guarding.unreadable(watched(), "no answer")
        course = [split(), silent, split(), silent, split(100)]
        due = [take_in(guard, survey(found), NOON + timedelta(minutes=n)) for n, found in enumerate(course)]
        assert due == [[], [], [], [], [KEY]]
        assert len(guard.outbox) == 1

    def test_what_could_not_be_read_and_is_wrong_is_news(self) -> None:
        guard = state(grace=timedelta(0))
        take_in(guard, survey(guarding.unreadable(watched(), "no answer")), NOON)
        take_in(guard, survey(split()), NOON + timedelta(minutes=1))
        assert [told.notification.title.split(": ")[1] for told in guard.outbox] == [
            "its route cannot be read and no rollout owns it",
            "traffic is split and no rollout owns it",
        ]

    def test_what_is_broken_again_and_again_is_left_to_people(self) -> None:
        guard = state(grace=timedelta(0))
        for minute in range(guarding.MOST_RESTORES):
            assert take_in(guard, survey(split()), NOON + timedelta(minutes=minute)) == [KEY]
            guarding.restored(guard, KEY, NOON + timedelta(minutes=minute))
        assert take_in(guard, survey(split()), NOON + timedelta(minutes=9)) == []
        assert "somebody else writes it" in guard.outbox[-1].notification.text
        # An hour later it may be tried again.
        assert take_in(guard, survey(split()), NOON + timedelta(minutes=70)) == [KEY]

    def test_many_rollouts_that_die_within_an_hour_are_all_restored(self) -> None:
        guard = state(grace=timedelta(0))
        for number in range(3 * guarding.MOST_RESTORES):
            dead = Survey(findings=[split()], watched=[watched(run_id=f"r{number}")], looked=1)
            assert take_in(guard, dead, NOON + timedelta(minutes=number)) == [KEY]
            guarding.restored(guard, KEY, NOON + timedelta(minutes=number))

    def test_a_refused_restore_is_noted_once(self) -> None:
        guard = state(grace=timedelta(0))
        take_in(guard, survey(split()), NOON)
        for _ in range(3):
            guarding.not_restored(guard, KEY, "StaleGeneration: 9", NOON)
        kinds = [write.entries[0].kind for write in guard.backlog]
        assert kinds == ["guard_found", "guard_not_restored"]

    @settings(deadline=None)
    @given(st.lists(st.sampled_from(["ok", "split", "wrong", "unreadable", "live"]), max_size=40))
    def test_state_is_bounded_and_keys_are_unique(self, course: list[str]) -> None:
        guard = state(grace=timedelta(0))
        keys: set[tuple[str, int, datetime]] = set()
        for minute, seen in enumerate(course):
            now = NOON + timedelta(minutes=minute)
            found = {"split": [split()], "wrong": [split(100)], "unreadable": [guarding.unreadable(watched(), "x")]}
            live = [KEY] if seen == "live" else []
            due = take_in(guard, survey(*found.get(seen, []), live=live), now)
            assert seen in ("split", "wrong") or due == []
            for key in due:
                guarding.restored(guard, key, now)
            assert (KEY in guard.open) <= (seen not in ("ok", "live"))
        for write in guard.backlog:
            keys.add(write.entries[0].key)
        assert len(keys) == len(guard.backlog) <= KEPT_UNDELIVERED
        told = [message.notification.key for message in guard.outbox]
        assert len(set(told)) == len(told)

    def test_what_is_remembered_is_bounded(self) -> None:
        guard = state()
        many = [watched(workflow_id=f"canary/test/s{n}", closed_at=NOON + timedelta(seconds=n)) for n in range(600)]
        take_in(guard, Survey(watched=many), NOON)
        assert len(guard.watched) == guarding.KEPT_ROUTES
        assert "canary/test/s599" in guard.watched

    def test_of_very_many_routes_those_that_are_wrong_are_remembered(self) -> None:
        many = [watched(workflow_id=f"canary/test/s{n}", closed_at=NOON + timedelta(seconds=n)) for n in range(2_000)]
        wrong = split().model_copy(update={"workflow_id": "canary/test/s0"})
        told = guarding.worth_telling(many, [wrong])
        assert len(told) == guarding.KEPT_ROUTES
        assert [one.workflow_id for one in told[:2]] == ["canary/test/s0", "canary/test/s1999"]
        # One payload: Temporal takes 2 MB.
        assert len(Survey(watched=told, findings=[wrong]).model_dump_json()) < 1_500_000
        assert len(state().model_copy(update={"watched": {one.workflow_id: one for one in told}}).model_dump_json()) < (
            1_500_000
        )

    def test_what_was_restored_lately_is_not_forgotten_among_many(self) -> None:
        guard = state(grace="0s")
        old = watched(closed_at=NOON - timedelta(days=1))
        many = [watched(workflow_id=f"canary/test/s{n}", closed_at=NOON + timedelta(seconds=n)) for n in range(600)]
        now = NOON
        for times in range(1, guarding.MOST_RESTORES + 2):
            now += timedelta(minutes=1)
            new = [one for one in [old, *many] if guard.watched.get(one.workflow_id) is None]
            finding = split(generation=times)
            due = take_in(guard, Survey(watched=guarding.worth_telling(new, [finding]), findings=[finding]), now)
            assert due == ([KEY] if times <= guarding.MOST_RESTORES else [])
            for key in due:
                guarding.restored(guard, key, now)
            take_in(guard, Survey(watched=guarding.worth_telling([], [])), now)
        assert guarding.given_up(guard, KEY, now)
