"""When a gate says again that it waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coalmine.records import Phase, Verb
from coalmine.reminding import asks_again, channels_for, next_reminder, remind
from coalmine.rollout import Order, RolloutState
from coalmine.spec.channels import Notifier
from coalmine.spec.digest import spec_digest
from tests.workflows.specs import make_spec, make_submission

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def waiting(**approval: Any) -> RolloutState:
    """A rollout whose first gate has waited since noon."""
    gate = {"name": "go", "approval": {"timeout": "4h", "remind": "30m", **approval}}
    spec = make_spec(steps=[{"weight": 10, "gate": gate}], notify=[{"kind": "log", "name": "pager"}])
    state = RolloutState.begin(make_submission(spec), "canary/test/checkout", "run", NOON)
    state.phase = Phase.GATED
    state.gates[0].waiting_since, state.gates[0].deadline = NOON, NOON + timedelta(hours=4)
    return state


def said(state: RolloutState, until: datetime) -> list[tuple[int, bool]]:
    """Minutes after noon at which something is said, and whether it escalates, when everything is said in time."""
    found: list[tuple[int, bool]] = []
    while (due := next_reminder(state)) is not None and due.at <= until:
        remind(state, due, due.at)
        found.append(((due.at - NOON) // MINUTE, due.escalates))
    return found


def test_every_so_often_until_the_deadline() -> None:
    state = waiting(timeout="2h")
    state.gates[0].deadline = NOON + timedelta(hours=2)
    assert said(state, NOON + timedelta(days=1)) == [(30, False), (60, False), (90, False)]


def test_an_escalation_comes_once_and_stands_for_the_reminder_of_its_moment() -> None:
    state = waiting(escalate={"after": "1h", "to": ["pager"]})
    assert said(state, NOON + timedelta(hours=2)) == [(30, False), (60, True), (90, False), (120, False)]


def test_an_escalation_alone() -> None:
    assert said(waiting(remind=None, escalate={"after": "1h", "to": ["pager"]}), NOON + timedelta(days=1)) == [
        (60, True)
    ]


def test_what_is_late_is_said_once_and_the_next_comes_at_its_own_time() -> None:
    state = waiting()
    due = next_reminder(state)
    assert due is not None
    remind(state, due, NOON + timedelta(minutes=100))
    assert said(state, NOON + timedelta(hours=2, minutes=30)) == [(120, False), (150, False)]


def test_carried_over_it_goes_on_where_it_was() -> None:
    state = waiting(escalate={"after": "1h", "to": ["pager"]})
    said(state, NOON + timedelta(minutes=70))
    carried = RolloutState.model_validate(state.model_dump(mode="json"))
    assert next_reminder(carried) == next_reminder(state)
    assert said(carried, NOON + timedelta(minutes=100)) == [(90, False)]


def test_an_extension_brings_more_of_them() -> None:
    state = waiting()
    said(state, NOON + timedelta(days=1))
    assert next_reminder(state) is None
    assert state.gates[0].deadline is not None
    state.gates[0].deadline += timedelta(hours=1)
    assert said(state, NOON + timedelta(days=1)) == [(240, False), (270, False)]


@pytest.mark.parametrize("change", ["paused", "held", "ordered", "open", "not waiting"])
def test_nothing_is_said_while_nobody_is_waited_for(change: str) -> None:
    state = waiting()
    if change == "paused":
        state.paused = True
    elif change == "held":
        state.phase = Phase.HELD
    elif change == "ordered":
        state.order = Order(verb=Verb.ROLLBACK, by="ana")
    else:
        state.gates[0].waiting_since = None
    assert next_reminder(state) is None


def test_messages_name_the_gate_the_wait_and_what_follows() -> None:
    state = waiting(escalate={"after": "1h", "to": ["pager"]}, on_timeout="hold")
    due = next_reminder(state)
    assert due is not None
    words = remind(state, due, NOON + 30 * MINUTE)
    assert words.text == (
        "Gate 'go' before 10 % waits for 1 of anyone. It has waited 30m, and will hold at 2026-03-01 16:00 UTC."
    )
    assert words.key == "gate-go-1-reminder-1"
    assert words.to == ()


def test_channels_for_escalations_only_hear_those_to_their_name() -> None:
    pager, log = Notifier(kind="log", name="pager", only="escalations"), Notifier(kind="log")
    assert channels_for([log, pager], []) == [log]
    assert channels_for([log, pager], ["leads"]) == [log]
    assert channels_for([log, pager], ["pager"]) == [log, pager]


def test_a_spec_without_them_is_written_as_before() -> None:
    gate = {"name": "go", "approval": {"by": []}}
    spec = make_spec(steps=[{"weight": 10, "gate": gate}])
    assert not asks_again(spec)
    written = spec.model_dump(mode="json", by_alias=True)
    assert set(written["steps"][0]["gate"]["approval"]) == {"by", "count", "timeout", "on_timeout"}
    assert written["notify"] == [{"kind": "log"}]
    assert len(spec_digest(spec)) == 64
