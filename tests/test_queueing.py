"""Who starts next: nothing accepted is lost, order is kept, and the running one is taken back only where it may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from coalmine.decisions import decide
from coalmine.queueing import (
    KEPT_ENDED,
    LONGEST_LINE,
    join_older,
    leave_line,
    line_text,
    ordinal,
    places,
    receive,
    version_of,
    withdraw,
)
from coalmine.records import Action, Finding, Line, MetricVerdict, Outcome, Phase, Submission, Verb, Waiting
from coalmine.rollout import HeldState, Order, RolloutState
from tests.workflows.specs import make_spec, make_submission

NOW = datetime(2026, 11, 1, tzinfo=UTC)
WINDOW = timedelta(minutes=10)
EARLY = (Phase.ADMITTING, Phase.STEPPING)
POLICIES = ("reject", "queue", "supersede")


def submission(version: str, policy: str = "queue", by: str = "ana") -> Submission:
    """A start of one version with one policy."""
    arms = {
        "baseline": {"version": "1.0.0", "backend": "checkout-v1"},
        "canary": {"version": version, "backend": "checkout-v2"},
    }
    promotion = {"bake": "1m", "rollback_window": "10m", "when_busy": policy}
    return make_submission(make_spec(arms=arms, promotion=promotion), by=by)


def running(phase: Phase = Phase.STEPPING, version: str = "A") -> RolloutState:
    """A rollout in a phase."""
    state = RolloutState.begin(submission(version), "canary/test/checkout", "run", NOW)
    state.phase = phase
    return state


def versions(state: RolloutState) -> list[str]:
    """Who waits, in order."""
    return [version_of(one.submission) for one in state.line.waiting]


def test_a_promotion_that_waits_for_the_ledger_may_be_superseded() -> None:
    state = running(Phase.PROMOTING)
    assert "has all traffic" in receive(state, submission("B", "supersede"), NOW).reason
    assert state.order is None
    state = running(Phase.PROMOTING)
    state.promotion_waits = True
    receive(state, submission("B", "supersede"), NOW)
    assert state.order is not None
    assert (state.order.verb, state.order.ending) == (Verb.ROLLBACK, Outcome.SUPERSEDED)


class Desk(RuleBasedStateMachine):
    """Three versions, three policies, any phase: what a person was told comes true."""

    def __init__(self) -> None:
        super().__init__()
        self.state = running()
        self.accepted: dict[str, str] = {}
        """By version: the person whose submission was accepted last and has neither begun nor been told off."""

    @rule(
        version=st.sampled_from("ABC"),
        policy=st.sampled_from(POLICIES),
        by=st.sampled_from(("ana", "bo")),
    )
    def submit(self, version: str, policy: str, by: str) -> None:
        """Another version comes."""
        if version == version_of(self.state.submission):
            return
        before, phase, order = versions(self.state), self.state.phase, self.state.order
        answer = receive(self.state, submission(version, policy, by), NOW)
        after = versions(self.state)
        if answer.disposition == "rejected":
            assert (after, self.state.order) == (before, order)
            assert policy == "reject"
            return
        self.accepted[version] = by
        assert after[answer.position - 1] == version
        for gone in answer.dropped:
            assert policy == "supersede"
            assert gone.outcome is Outcome.SUPERSEDED
            del self.accepted[gone.version]
        if policy != "supersede":
            others = [one for one in after if one != version]
            assert others == [one for one in before if one != version], "who waits keeps the order"
        else:
            assert answer.position == 1
        rolled_back_for = self.state.order is not None and order is None
        assert rolled_back_for == (policy == "supersede" and phase in EARLY and order is None)

    @rule(phase=st.sampled_from([Phase.STEPPING, Phase.BAKING, Phase.WINDOW, Phase.ROLLING_BACK, Phase.CLOSED]))
    def move(self, phase: Phase) -> None:
        """The running one goes on, as far as its order lets it."""
        if self.state.order is None or phase in (Phase.ROLLING_BACK, Phase.CLOSED):
            self.state.phase, self.state.order = phase, None

    @rule()
    def carry_on(self) -> None:
        """Continue-as-new."""
        self.state = RolloutState.model_validate(self.state.model_dump(mode="json"))

    @rule(version=st.sampled_from("ABC"))
    def take_back(self, version: str) -> None:
        """Somebody withdraws."""
        gone = withdraw(self.state, version, "bo", "no", NOW)
        assert (gone is not None) == (version in self.accepted)
        self.accepted.pop(version, None)

    @rule()
    def end(self) -> None:
        """The running one ends, in whatever way: the first in line begins."""
        first = versions(self.state)[:1]
        following = leave_line(self.state)
        if following is None:
            assert not self.accepted
            return
        assert [version_of(following)] == first
        assert self.accepted.pop(version_of(following)) == following.by
        line, self.state = self.state.line, RolloutState.begin(following, "canary/test/checkout", "next", NOW)
        self.state.line = line

    @invariant()
    def nothing_is_lost(self) -> None:
        """Each accepted one waits once, as its last sender sent it."""
        waiting = {version_of(one.submission): one.submission.by for one in self.state.line.waiting}
        assert waiting == self.accepted
        assert len(waiting) == len(self.state.line.waiting) <= LONGEST_LINE

    @invariant()
    def at_most_one_supersedes(self) -> None:
        """And it stands first."""
        assert [one.supersedes for one in self.state.line.waiting[1:]].count(True) == 0


Desk.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestDesk = Desk.TestCase


@pytest.mark.parametrize(
    ("phase", "rolled_back"),
    [(phase, phase in (Phase.ADMITTING, Phase.GATED, Phase.STEPPING, Phase.HELD)) for phase in Phase],
)
def test_a_superseding_start_rolls_back_only_before_all_traffic_is_on_the_canary(
    phase: Phase, rolled_back: bool
) -> None:
    state = running(phase)
    receive(state, submission("B", "supersede"), NOW)
    assert (state.order is not None) == rolled_back
    assert state.order is None or (state.order.verb, state.order.ending) == (Verb.ROLLBACK, Outcome.SUPERSEDED)
    assert versions(state) == ["B"]


def test_it_does_not_roll_back_what_is_held_in_its_bake_or_was_ordered_on() -> None:
    held = running(Phase.HELD)
    held.held = HeldState(finding="signal", reason="odd", since=NOW, deadline=NOW, resume_to=Phase.BAKING)
    ordered = running()
    ordered.order = Order(verb=Verb.PROMOTE, by="bo")
    for state in (held, ordered):
        assert receive(state, submission("B", "supersede"), NOW).disposition == "queued"
    assert held.order is None
    assert ordered.order.verb is Verb.PROMOTE


@pytest.mark.parametrize(
    ("verdict", "finding", "waits", "paused", "ends"),
    [
        ("pass", Finding.NO_HARM, "supersede", False, True),
        ("pass", Finding.NO_HARM, "queue", False, False),
        ("pass", Finding.NO_HARM, "supersede", True, False),
        ("inconclusive", Finding.UNDECIDED, "supersede", False, False),
        ("no_data", Finding.NO_DATA, "supersede", False, False),
        ("pass", None, "supersede", False, False),
    ],
)
def test_a_bake_ends_early_only_for_a_superseding_one_and_once_its_objectives_pass(
    verdict: str, finding: Finding | None, waits: str, paused: bool, ends: bool
) -> None:
    state = running(Phase.BAKING)
    state.bake_ends, state.finding, state.paused = NOW + WINDOW, finding, paused
    state.verdicts = [MetricVerdict.model_validate({"metric": "errors", "verdict": verdict})]
    receive(state, submission("B", waits), NOW)
    assert (decide(state, NOW).action is Action.PROMOTE) == ends


def test_the_line_is_bounded_and_a_version_that_waits_keeps_its_place() -> None:
    state = running()
    for number in range(LONGEST_LINE):
        assert receive(state, submission(f"v{number}"), NOW).position == number + 1
    refused = receive(state, submission("late"), NOW)
    assert (refused.disposition, refused.reason) == (
        "rejected",
        f"{LONGEST_LINE} versions wait for A already: try again later",
    )
    assert receive(state, submission("v3", by="bo"), NOW).position == 4
    assert state.line.waiting[3].submission.by == "bo"


def test_only_the_newest_ends_are_kept() -> None:
    state = running()
    for number in range(KEPT_ENDED + 5):
        receive(state, submission(f"v{number}"), NOW)
        withdraw(state, f"v{number}", "bo", "", NOW)
    assert len(state.line.ended) == KEPT_ENDED
    assert state.line.ended[-1].reason == "withdrawn by bo"


def test_who_was_next_in_an_older_rollout_stands_first() -> None:
    state = running(Phase.WINDOW)
    state.line = Line(waiting=[Waiting(submission=submission("C"))])
    state.next_submission = submission("B")
    join_older(state)
    join_older(state)
    assert versions(state) == ["B", "C"]
    assert state.next_submission is None


def test_in_words() -> None:
    state = running()
    receive(state, submission("B", by="bo"), NOW)
    receive(state, submission("C", "supersede"), NOW)
    assert line_text(places(state.line)) == "C (by ana, supersedes), then B (by bo)"
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == [
        *("1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"),
    ]
