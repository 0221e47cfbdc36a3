"""The page in the Temporal UI, without a workflow: what it says first, what can be copied, and that it always fits."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine import details_page
from coalmine.command_input import PLACEHOLDER, decode
from coalmine.commands import can_send, refusal
from coalmine.gates import Approval
from coalmine.markdown import url_length
from coalmine.records import (
    Action,
    Cause,
    Diagnosis,
    LedgerEntry,
    MetricVerdict,
    Outcome,
    Phase,
    Refusal,
    SlotPlace,
    Verb,
)
from coalmine.rollout import Order, RolloutState
from tests.test_commands import NOW, SPEC, make_state, states
from tests.workflows.specs import make_spec, make_submission


def look(number: int, reason: str) -> LedgerEntry:
    data = {"look": number, "weight": 10, "canary_requests": 1_000, "action": "continue"}
    return LedgerEntry(kind="look", rollout_id="a/b/1/1", sequence=number, at=NOW, reason=reason, data=data)


def first_line(state: RolloutState) -> str:
    return details_page.page(state).splitlines()[0]


def copied(page: str) -> list[str]:
    """What people would copy: the lines that are code and nothing else."""
    return [line.strip("` ") for line in page.splitlines() if re.fullmatch("`+ ?[{c].*`", line)]


@given(states, st.text() | st.text(min_size=1).map(lambda text: text * 2_000), st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_the_page_is_bounded_and_says_what_can_be_sent(state: RolloutState, text: str, many: int) -> None:
    state.reason = state.history_note = state.restore_failure = text
    state.log = [look(number, text) for number in range(many)]
    state.verdicts = [MetricVerdict(metric=f"metric-{n}" * 3, verdict="pass", sentence=text) for n in range(many)]
    state.refused = [Refusal(at=NOW, verb="dance", reason=text, by=text[:80], input=text[:200])] * min(many, 20)
    state.unmet = [text] * min(many, 5)
    state.finding_reason = text
    page = details_page.page(state)
    assert len(page) <= details_page.PAGE_LIMIT
    assert page.startswith("### ")
    assert "**checkout 1.0.0 → 1.1.0** in test" in page
    for verb in can_send(state):
        assert f"`{verb}`" in page


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (make_state(Phase.ADMITTING, step=-1), "Being admitted: nothing to do yet"),
        (
            make_state(Phase.ADMITTING, step=-1, slot=SlotPlace(position=2, waiting=3, limit=1)),
            "Waiting to begin: slot: waiting, 2nd of 3",
        ),
        (make_state(Phase.STEPPING), "Running at 0 %: nothing to do"),
        (make_state(Phase.STEPPING, paused=True), "Paused at 0 %: send resume to go on"),
        (make_state(Phase.STEPPING, no_data_since=NOW), "No data at 0 % since 12:00:00 UTC: look at the metrics"),
        (
            make_state(Phase.STEPPING, order=Order(verb=Verb.PROMOTE, by="bo")),
            "Promote ordered by bo: nothing to do",
        ),
        (make_state(Phase.GATED), "Approve or reject: gate 'go' waits, at 0 %"),
        (make_state(Phase.GATED, paused=True), "Approve or reject: gate 'go' waits, at 0 % (paused as well)"),
        (make_state(Phase.HELD), "Held at 0 %: send resume or rollback"),
        (make_state(Phase.PROMOTING), "Going to 100 %: nothing to do"),
        (make_state(Phase.BAKING), "At 0 %, watched until 2026-01-01 13:00:00 UTC: nothing to do"),
        (make_state(Phase.WINDOW), "Promoted: nothing to do; rollback works until 2026-01-01 13:00:00 UTC"),
        (make_state(Phase.ROLLING_BACK), "Rolling back: nothing to do"),
        (
            make_state(Phase.ROLLING_BACK, restore_tries=3, restore_failure="p2 shows 20 %"),
            "ROLLBACK NOT DONE: mend the router, it goes on trying",
        ),
        (
            make_state(Phase.ROLLING_BACK, restore_told=1),
            "ROLLBACK NOT DONE: mend the router, it goes on trying",
        ),
        (make_state(Phase.CLOSED, outcome=Outcome.PROMOTED), "Promoted: nothing to do"),
        (make_state(Phase.CLOSED, outcome=Outcome.BLOCKED), "Blocked before it began: nothing was shifted"),
        (make_state(Phase.CLOSED, cancelled=True), "Cancelled: nothing left to do here"),
        (
            make_state(Phase.CLOSED, cancelled=True, outcome=Outcome.ROLLED_BACK),
            "Cancelled and rolled back: nothing left to do here",
        ),
    ],
)
def test_the_first_line_says_how_it_stands_and_what_to_do(state: RolloutState, line: str) -> None:
    assert first_line(state) == f"### {line}"


def test_the_first_line_of_advice() -> None:
    state = RolloutState.begin(make_submission(make_spec(), advise=True), "id", "run", NOW)
    state.phase, state.advice = Phase.CLOSED, Action.ROLL_BACK
    assert first_line(state) == "### Advice: roll back; no traffic was shifted"


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_a_first_line(outcome: Outcome) -> None:
    assert ":" in first_line(make_state(Phase.CLOSED, outcome=outcome))


@given(states)
@settings(max_examples=100, deadline=None)
def test_what_is_copied_is_taken_once_it_has_a_name(state: RolloutState) -> None:
    """Each verb on the page, with the very input that stands below it."""
    page = details_page.page(state)
    if not can_send(state):
        assert copied(page) == []
        return
    lines = page.splitlines()
    seen = set()
    for number, line in enumerate(lines):
        if not line.endswith("with input"):
            continue
        given = json.loads(lines[number + 1].strip("`"))
        for verb in re.findall("`([a-z]+)`", line):
            command = decode(Verb(verb), given | {"by": "ana"})
            assert refusal(state, Verb(verb), command) is None
            seen.add(verb)
    assert seen == set(can_send(state))


@pytest.mark.parametrize("verb", list(Verb))
def test_a_placeholder_decides_nothing_but_a_way_back(verb: Verb) -> None:
    if verb in (Verb.ROLLBACK, Verb.REJECT):
        assert decode(verb, {"by": PLACEHOLDER}).by == PLACEHOLDER
    else:
        with pytest.raises(ValueError, match="'by' is 'your name' still: put yours in its place"):
            decode(verb, {"by": PLACEHOLDER})


def test_text_of_people_does_not_break_a_table() -> None:
    state = make_state(log=[look(1, "a | b\nc")], looks=1)
    row = next(line for line in details_page.page(state).splitlines() if line.startswith("| 1"))
    assert row.count("|") == 6
    assert row.endswith("| continue: a / b c |")


def test_looks_give_way_where_the_page_would_not_fit_into_a_url() -> None:
    reason = "…" * 100
    state = make_state(log=[look(number, reason) for number in range(6)], looks=6, history_note="…" * 200)
    state.unmet = ["…" * 200]
    page = details_page.page(state)
    assert url_length(page) <= details_page.URL_LIMIT
    assert 0 < len([line for line in page.splitlines() if "continue: …" in line]) < 6


def test_the_page_of_a_waiting_gate() -> None:
    state = make_state(Phase.GATED, next_look=NOW + timedelta(seconds=10))
    page = details_page.page(state)
    assert "**wanted:** 2 of sre (ana, bo)" in page
    assert "**without a word it will roll back at 2026-01-01 16:00:00 UTC**" in page
    assert "`◐ 10 %  ○ 50 %  ○ 100 %` next look 12:00:10 UTC" in page
    assert "`approve` with input\n`{" in page
    assert json.loads(copied(page)[0]) == {"by": "your name", "reason": "looks fine", "gate": "go", "attempt": 1}
    assert "`rollback` (back to 1.0.0) `reject` `pause` `extend` `promote` with input" in page
    state.gates[0].approvals.append(Approval(by="bo", attempt=1, at=NOW))
    assert "**wanted:** 2 of sre (ana, bo); approved so far by bo" in details_page.page(state)


def test_the_page_of_a_gate_that_counts_signed_decisions_only() -> None:
    gate = {"name": "go", "approval": {"by": ["sre"], "verified": True, "four_eyes": True}}
    state = RolloutState.begin(
        make_submission(make_spec(steps=[{"weight": 10, "for": "1m", "gate": gate}], people={"sre": ["ana"]})),
        "canary/test/checkout",
        "run",
        NOW,
    )
    state.phase, state.gates[0].waiting_since = Phase.GATED, NOW
    page = details_page.page(state)
    assert copied(page)[0] == 'coalmine approve checkout -e test -m "looks fine" --sign-with KEY'
    assert "1 of sre (ana); not by who started or wrote it" in page


def test_a_gate_does_not_wait_any_more_once_the_rollout_is_over() -> None:
    state = make_state(Phase.GATED, outcome=Outcome.ROLLED_BACK)
    state.phase = Phase.CLOSED
    page = details_page.page(state)
    assert "wanted" not in page
    assert "without a word" not in page
    assert "Send a Signal" not in page


def test_the_page_of_a_hold() -> None:
    page = details_page.page(make_state(Phase.HELD))
    assert "**held**: slow" in page
    assert "**without a word it will roll back at 2026-01-01 16:00:00 UTC**" in page
    assert "`resume` `rollback` (back to 1.0.0)" in page


def test_the_page_without_data_says_when_it_acts() -> None:
    page = details_page.page(make_state(Phase.STEPPING, no_data_since=NOW))
    assert "**it will roll back at 2026-01-01 12:05:00 UTC, after 5m without data**" in page


def test_the_latest_refusal_stands_above_and_what_to_send_instead_below() -> None:
    state = make_state(Phase.GATED)
    with pytest.raises(ValueError, match="JSON object") as wrong:
        decode(Verb.APPROVE, "garbage")
    state.refused = [
        Refusal(at=NOW, verb="aprove", reason="'aprove' is not a verb", by="", input=""),
        Refusal(at=NOW, verb="approve", reason=str(wrong.value), by="", input="garbage"),
    ]
    page = details_page.page(state)
    above, below = page.split("**More Actions", 1)
    assert "**refused** 12:00:00 `approve`: input must be a JSON object, not 'garbage'\n" in above
    assert "\n\n- 12:00:00 `aprove`: 'aprove' is not a verb" in below


def test_the_page_of_the_end_says_where_traffic_is() -> None:
    ended = {"outcome": Outcome.ROLLED_BACK, "cause": Cause.HUMAN, "reason": "5xx on pay"}
    state = make_state(Phase.CLOSED, written=True, weights={"v1": 100, "v2": 0}, restore_seconds=1.2, **ended)
    assert "5xx on pay\nthe route: v1 100 %, 1 s after the decision" in details_page.page(state)
    assert "the route was not touched" in details_page.page(make_state(Phase.CLOSED, outcome=Outcome.BLOCKED))


def test_numbers_have_units() -> None:
    verdicts = [
        MetricVerdict(
            metric="errors",
            verdict="pass",
            effect=1.02,
            interval=(0.8, 1.3),
            margin=1.1,
            canary=0.0081,
            baseline=0.0079,
        ),
        MetricVerdict(metric="other", verdict="no_data"),
    ]
    page = details_page.page(make_state(verdicts=verdicts))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    assert rows[0] == ["metric", "verdict", "canary", "baseline", "effect", "margin"]
    assert rows[2] == ["errors", "pass", "0.81 %", "0.79 %", "×1.02 (0.80 … 1.30)", "×1.1"]
    assert rows[3] == ["other", "no data", "–", "–", "–", "–"]


def test_the_page_says_what_points_to_the_cause() -> None:
    state = make_state(diagnosis=Diagnosis(sentence="errors: route pay | carries it all"))
    assert "**points to the cause:** errors: route pay / carries it all" in details_page.page(state)


def test_who_started_it_and_why() -> None:
    state = RolloutState.begin(make_submission(SPEC, reason="new | tax rules"), "id", "run", NOW)
    state.rollout_id = "test/checkout/1.1.0/1"
    assert "`test/checkout/1.1.0/1` started by ana: new / tax rules" in details_page.page(state)
