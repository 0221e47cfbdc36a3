"""What the histories of a rollout say, as the examiner reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory

from tests.faults.examine import by_generation, cancels, fences, mended, rises
from tests.faults.told import Told
from tests.faults.weights import unordered


def shows(**attributes: str | None) -> HistoryEvent:
    event = HistoryEvent(event_type=EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES)
    fields = event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
    for name, value in attributes.items():
        fields[name].CopyFrom(Payload(data=b"" if value is None else json.dumps(value).encode()))
    return event


def closes(outcome: str) -> list[HistoryEvent]:
    entry = {
        "kind": "closed",
        "rollout_id": "t/s/1/1",
        "sequence": 1,
        "at": "2026-01-01T00:00:00Z",
        "data": {"outcome": outcome},
    }
    event = HistoryEvent(event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
    scheduled = event.activity_task_scheduled_event_attributes
    scheduled.activity_type.name = "write_ledger"
    given: dict[str, Any] = {"entries": [entry], "service": "s", "environment": "t", "ledger": {}}
    scheduled.input.payloads.add().data = json.dumps(given).encode()
    return [shows(CoalmineOutcome=outcome), event]


def completes(outcome: str) -> HistoryEvent:
    event = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
    result = event.workflow_execution_completed_event_attributes.result
    result.payloads.add().data = json.dumps({"outcome": outcome}).encode()
    return event


CANCEL = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
CANCELED = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED)
TERMINATED = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED)
PATCHED = shows(TemporalChangeVersion="a patch")
PROMOTED = shows(CoalmineOutcome="promoted")
BEGUN = shows(CoalmineOutcome=None)


def told(*events: HistoryEvent) -> Told:
    return Told([WorkflowHistory("canary/t/s", list(events))])


def test_a_cancelled_rollout_has_the_outcome_of_its_record() -> None:
    back = told(BEGUN, CANCEL, *closes("rolled_back"), CANCELED)
    assert (back.closed, back.outcome, back.promoted, cancels(back)) == ("canceled", "rolled_back", False, [])
    late = told(BEGUN, PROMOTED, CANCEL, *closes("promoted"), CANCELED)
    assert (late.closed, late.outcome, late.promoted, cancels(late)) == ("canceled", "promoted", True, [])


def test_a_patch_that_is_asked_takes_no_outcome_back() -> None:
    assert told(BEGUN, PROMOTED, PATCHED).promoted
    assert not told(BEGUN, PROMOTED, BEGUN).promoted


@pytest.mark.parametrize(
    ("events", "wrong"),
    [
        ([BEGUN, CANCEL, PROMOTED, *closes("promoted"), CANCELED], "it was promoted after it had been cancelled"),
        (
            [BEGUN, CANCEL, *closes("rolled_back"), completes("rolled_back")],
            "it was cancelled, and completed as rolled",
        ),
        ([PROMOTED, *closes("rolled_back"), BEGUN, CANCELED], "the outcome is not one: its result rolled_back"),
        ([*closes("promoted"), completes("rolled_back")], "the outcome is not one: its result rolled_back"),
    ],
)
def test_what_does_not_go_together_is_found(events: list[HistoryEvent], wrong: str) -> None:
    (found,) = cancels(told(*events))
    assert wrong in found


# ------------------------------------------------------------------------- weights and the ledger (I4)


def entry(sequence: int, kind: str, **data: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "rollout_id": "t/s/1/1",
        "sequence": sequence,
        "at": f"2026-01-01T00:00:0{sequence}Z",
        "data": data,
    }


class History:
    """Builds a history event by event, as the server numbers them."""

    def __init__(self) -> None:
        self.events = [HistoryEvent(event_id=1, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)]
        self.second = 0

    def schedule(self, name: str, given: dict[str, Any]) -> int:
        event = HistoryEvent(event_id=len(self.events) + 1, event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
        # Between the times of the entries: what a task says has the time at which it began.
        handed = [int(e["at"][-2]) for e in given.get("entries", ())]
        self.second = max([self.second, *handed])
        event.event_time.FromJsonString(f"2026-01-01T00:00:0{self.second}.5Z")
        scheduled = event.activity_task_scheduled_event_attributes
        scheduled.activity_type.name = name
        scheduled.input.payloads.add().data = json.dumps(given).encode()
        self.events.append(event)
        return event.event_id

    def shift(self, share: float, generation: int, restoring: bool = False) -> History:
        route = {"router": "envoy", "name": "s", "files": ["/r.yaml"], "admins": ["http://127.0.0.1:1"]}
        weights = {"shop-v1": 100 - share, "shop-v2": share}
        self.schedule("shift", {"weights": weights, "generation": generation, "route": route, "restoring": restoring})
        return self

    def hand_over(self, *entries: dict[str, Any]) -> int:
        return self.schedule(
            "write_ledger", {"entries": list(entries), "service": "s", "environment": "t", "ledger": {}}
        )

    def taken(self, number: int) -> History:
        event = HistoryEvent(event_id=len(self.events) + 1, event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
        event.activity_task_completed_event_attributes.scheduled_event_id = number
        self.events.append(event)
        return self

    def wrote(self, *entries: dict[str, Any]) -> History:
        return self.taken(self.hand_over(*entries))

    def told(self) -> Told:
        return Told([WorkflowHistory("canary/t/s", self.events)])


ADMITTED = entry(1, "admitted")
ADVANCE = entry(2, "look", action="advance")
OVERRIDE = entry(3, "override")


def test_each_rise_after_its_decision_is_right() -> None:
    whole = History().wrote(ADMITTED).shift(10, 1).wrote(ADVANCE).shift(50, 2).wrote(OVERRIDE).shift(100, 3).told()
    assert [(rise.share, rise.decision and rise.decision[1], rise.had_it) for rise in whole.rises] == [
        (10, 1, True),
        (50, 2, True),
        (100, 3, True),
    ]
    assert rises(whole, {}) == []


def test_a_word_between_two_looks_is_a_decision_of_its_own() -> None:
    due = entry(2, "advance_due")
    assert rises(History().wrote(ADMITTED).shift(10, 1).wrote(due).shift(50, 2).told(), {}) == []


def forged() -> list[tuple[History, str]]:
    late = History().wrote(ADMITTED).shift(10, 1)
    handed = late.hand_over(OVERRIDE)
    late.shift(100, 2).taken(handed)
    never = History().wrote(ADMITTED).shift(10, 1)
    never.second = 3
    never.shift(100, 2).hand_over(OVERRIDE)
    first = History()
    first.second = 1
    first.shift(10, 1).wrote(ADMITTED)
    nothing = History().wrote(entry(1, "gate")).shift(10, 1)
    # The worker dies, or the run is terminated, before anything of the second decision is handed over.
    lost = History().wrote(ADMITTED).shift(10, 1).shift(50, 2)
    return [
        (lost, "I4: 50 % (generation 2) was ordered, and its decision was never handed over"),
        (late, "I4: 100 % (generation 2) was ordered before the ledger had taken its decision"),
        (never, "I4: 100 % (generation 2) was ordered before the ledger had taken its decision"),
        (first, "I4: 10 % (generation 1) was ordered before the ledger had taken its decision"),
        (nothing, "I4: 10 % (generation 1) was ordered, and no decision allows it"),
    ]


@pytest.mark.parametrize(("history", "wrong"), forged())
def test_a_forged_order_is_found(history: History, wrong: str) -> None:
    (found,) = rises(history.told(), {})
    assert found.startswith(wrong)


def test_a_decision_that_the_files_lacked_when_the_weight_was_seen_is_found() -> None:
    history = History().wrote(ADMITTED).shift(10, 1).told()
    (key,) = history.acknowledged
    assert rises(history, {(1, 10.0): {key}}) == []
    (found,) = rises(history, {(1, 10.0): set()})
    assert "was written while the ledger's files lacked its decision" in found


def test_a_change_by_hand_under_the_generation_that_came_next_is_not_the_rollouts_write() -> None:
    # What was ordered as generation 2 was refused, and ordered again.
    history = History().wrote(ADMITTED).shift(10, 1).wrote(ADVANCE).shift(50, 2).shift(50, 3).told()
    keys = history.acknowledged
    first = {key for key in keys if key[1] == 1}
    assert rises(history, {(1, 10.0): first, (2, 5.0): first, (3, 50.0): keys}) == []
    (found,) = rises(history, {(1, 10.0): first, (2, 5.0): first, (3, 50.0): first})
    assert found.startswith("I4: 50 % (generation 2) was written while the ledger's files lacked its decision")


def test_after_a_reset_either_runs_decision_is_one_for_the_generation_both_ordered() -> None:
    again = {**ADMITTED, "at": entry(2, "admitted")["at"]}
    first, second = History().wrote(ADMITTED).shift(10, 1), History().wrote(again).shift(10, 1)
    both = Told([WorkflowHistory("canary/t/s", one.events) for one in (first, second)])
    (seen,) = first.told().acknowledged
    assert rises(both, {(1, 10.0): {seen}}) == []
    assert len(rises(both, {(1, 10.0): set()})) == 2


def test_what_goes_down_or_back_needs_no_entry() -> None:
    went = History().wrote(ADMITTED).shift(10, 1)
    went.hand_over(entry(2, "command", verb="promote"))
    # A step back, the restore (also of a snapshot above what was ordered), and the same weight again.
    went.shift(10, 2).shift(5, 3).shift(0, 4, restoring=True).shift(100, 5, restoring=True)
    assert rises(went.told(), {(1, 10.0): went.told().acknowledged, (4, 0.0): set(), (5, 100.0): set()}) == []


def test_a_run_that_was_continued_knows_what_the_one_before_it_was_told() -> None:
    first, second = History().wrote(ADMITTED).shift(10, 1).wrote(ADVANCE), History()
    second.events[0].workflow_execution_started_event_attributes.continued_execution_run_id = "before"
    second.second = 3
    second.shift(50, 2)
    both = Told([WorkflowHistory("canary/t/s", one.events) for one in (first, second)])
    assert rises(both, {}) == []
    # One that took over after a reset has nothing but its own history.
    started = second.events[0].workflow_execution_started_event_attributes
    started.ClearField("continued_execution_run_id")
    assert len(rises(Told([WorkflowHistory("canary/t/s", one.events) for one in (first, second)]), {})) == 1


@pytest.mark.parametrize(
    "due",
    [
        entry(2, "look", action="advance", step=0),
        # Before its last step a judge that promotes lets it advance, no further.
        entry(2, "look", action="promote", step=0),
        entry(2, "advance_due", step=1),
    ],
)
def test_a_rise_past_the_step_that_its_decision_allows_is_found(due: dict[str, Any]) -> None:
    assert rises(History().wrote(ADMITTED).shift(10, 1).wrote(due).shift(50, 2).told(), {}) == []
    (found,) = rises(History().wrote(ADMITTED).shift(10, 1).wrote(due).shift(100, 2).told(), {})
    assert found.startswith("I2: 100 % (generation 2) was ordered")
    assert found.endswith("allows 50 %")


@pytest.mark.parametrize("verb", ["approve", "resume"])
def test_that_people_spoke_is_no_decision_to_advance(verb: str) -> None:
    said = entry(2, "command", verb=verb)
    (found,) = rises(History().wrote(ADMITTED).shift(10, 1).wrote(said).shift(50, 2).told(), {})
    assert "its decision was never handed over" in found
    due = entry(3, "advance_due", step=1)
    assert rises(History().wrote(ADMITTED).shift(10, 1).wrote(said, due).shift(50, 2).told(), {}) == []


def test_a_first_step_that_is_not_the_first_is_found() -> None:
    (found,) = rises(History().wrote(ADMITTED).shift(50, 1).told(), {})
    assert found.endswith("allows 10 %")


@pytest.mark.parametrize("said", [OVERRIDE, entry(3, "look", action="promote", step=1), entry(3, "promote")])
def test_everything_is_allowed_by_whoever_says_so_though_people_speak_after(said: dict[str, Any]) -> None:
    # A promotion that waits for the ledger can be paused, and is resumed.
    resumed = entry(4, "command", verb="resume")
    whole = History().wrote(ADMITTED).shift(10, 1).wrote(said, resumed).shift(100, 2).told()
    assert rises(whole, {}) == []


def test_what_allowed_one_rise_allows_no_other() -> None:
    again = History().wrote(ADMITTED).shift(10, 1).wrote(OVERRIDE).shift(100, 2).shift(10, 3)
    (found,) = rises(again.wrote(entry(4, "advance_due", step=1)).shift(100, 4).told(), {})
    assert found.startswith("I2: 100 % (generation 4) was ordered")


def test_a_share_that_was_not_ordered_under_its_generation_is_found() -> None:
    history = History().wrote(ADMITTED).shift(10, 1).wrote(ADVANCE).shift(50, 2).shift(0, 3, restoring=True).told()
    ordered = by_generation(history, {4: 100.0})
    assert unordered({(0, 0.0), (1, 10.0), (2, 50.0), (3, 0.0), (4, 100.0), (9, 70.0)}, ordered) == []
    (found,) = unordered({(1, 10.0), (2, 100.0)}, ordered)
    assert found == "I2: a proxy showed 100 % under generation 2, where 50 % was ordered"
    # After a reset two runs may order under one generation.
    both = Told([WorkflowHistory("canary/t/s", History().shift(share, 1).events) for share in (10, 0)])
    assert unordered({(1, 10.0), (1, 0.0)}, by_generation(both, {})) == []


def test_two_things_under_one_generation_are_found() -> None:
    assert fences([[1, 2], [1]], [{1: {"1:a"}, 2: {"2:b"}}, {1: {"1:c"}}]) == []
    assert fences([[1, 2]], [{1: {"1:a"}, 2: {"2:b", "2:c"}}]) == ["I3: a file held two things under generation 2"]


def test_what_the_guard_had_to_put_back_after_a_rollout_is_found() -> None:
    ended = History().wrote(ADMITTED).shift(10, 4)
    ended.events += [*closes("rolled_back"), completes("rolled_back")]
    # Before the rollout wrote, it was for the release before it.
    assert mended(ended.told(), {2, 3}) == []
    assert mended(ended.told(), {2, 5}) == ["I1: the guard had to put back what it left, under generations [5]"]


def test_the_guard_may_put_back_what_was_terminated() -> None:
    ended = History().wrote(ADMITTED).shift(10, 4)
    ended.events.append(TERMINATED)
    assert mended(ended.told(), {5}) == []
    never = History()
    never.events += [*closes("rejected"), completes("rejected")]
    assert mended(never.told(), {5}) == []


def test_what_was_promoted_is_left_so_only_by_a_run_that_wrote_nothing() -> None:
    promoted = WorkflowHistory("canary/t/s", [BEGUN, PROMOTED, completes("promoted")])
    in_window = WorkflowHistory("canary/t/s", [BEGUN, PROMOTED, TERMINATED])
    refused = WorkflowHistory("canary/t/s", [*closes("blocked"), completes("blocked")])
    assert Told([promoted, refused]).left_promoted
    # Its window was open: it has to be put back.
    assert not Told([in_window, refused]).left_promoted
    assert not Told([WorkflowHistory("canary/t/s", [BEGUN]), refused]).left_promoted
    wrote = WorkflowHistory("canary/t/s", History().shift(10, 1).events)
    assert not Told([promoted, wrote]).left_promoted


def test_a_run_that_ended_before_it_learnt_what_was_before_left_it_alone() -> None:
    in_window = WorkflowHistory("canary/t/s", [BEGUN, PROMOTED, TERMINATED])
    asking = History()
    asked = asking.schedule("recall_route", {"workflow_id": "canary/t/s", "run_id": "r2"})
    ended = WorkflowHistory("canary/t/s", [*asking.events, TERMINATED])
    assert Told([in_window, ended]).left_alone
    learnt = HistoryEvent(event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
    learnt.activity_task_completed_event_attributes.scheduled_event_id = asked
    learnt.activity_task_completed_event_attributes.result.payloads.add().data = b"{}"
    assert not Told([in_window, WorkflowHistory("canary/t/s", [*asking.events, learnt, TERMINATED])]).left_alone
