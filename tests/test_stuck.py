"""What is said of a rollout whose workflow tasks keep failing: once, to whom, and where it is shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from activities.stuck_runs import StuckRuns
from coalmine.cli.guard import _text
from coalmine.errors import PayloadUnreadable
from coalmine.guard_page import page
from coalmine.guarding import status, take_in
from coalmine.ownership import LastTasks, Run, RunFacts
from coalmine.records import GuardState, StuckRollout, Survey
from coalmine.stuck import stuck_rollout
from tests.workflows.specs import make_spec

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEFORE = {"checkout-v1": 100.0, "checkout-v2": 0.0}
ID = "canary/test/checkout"
RUN = Run(workflow_id=ID, run_id="r1", open=True, started_at=NOON, problems=["category=WorkflowTaskFailed"])
FACTS = RunFacts(spec=make_spec(notify=[{"kind": "log"}]), rollout_id="test/checkout/1.1.0/1", written=True)
FAILED = LastTasks(build="b7", failure="[TMPRL1100] Nondeterminism\nand a trace", worker="1@host")


def _stuck(facts: RunFacts | None = FACTS, last: LastTasks = FAILED) -> StuckRollout:
    return stuck_rollout(RUN, facts, last, "default")


def test_it_says_what_failed_where_and_both_ways_out() -> None:
    stuck = _stuck()
    assert stuck.reason.endswith("hears no rollback: [TMPRL1100] Nondeterminism (worker 1@host)")
    assert stuck.mend.startswith("Start a worker of the build that had it last (b7): ")
    assert f"temporal workflow show --namespace default --workflow-id {ID} --run-id r1" in stuck.mend
    assert f"temporal workflow terminate --namespace default --workflow-id {ID} " in stuck.mend
    assert _stuck(last=LastTasks()).reason.endswith("hears no rollback: category=WorkflowTaskFailed")


@pytest.mark.parametrize(("snapshot", "weights"), [(BEFORE, "checkout-v1 100 %"), ({}, "the weights before it")])
def test_what_was_promoted_is_not_put_back_by_terminating_it(snapshot: dict[str, float], weights: str) -> None:
    run = RUN.model_copy(update={"phase": "window", "outcome": "promoted"})
    facts = FACTS.model_copy(update={"snapshot": snapshot})
    mend = stuck_rollout(run, facts, FAILED, "default").mend
    assert f"To roll back without such a worker: write {weights} by hand, and leave it open" in mend
    assert "temporal workflow terminate" not in mend


def test_it_is_told_once_and_once_more_when_it_goes_on() -> None:
    state = GuardState(environment="test", number="7")
    for _ in range(3):
        assert take_in(state, Survey(stuck=[_stuck()], live=[ID]), NOON) == []
    [message] = state.outbox
    assert (message.notification.title, message.notification.severity) == (
        "test/checkout: the rollout is stuck",
        "critical",
    )
    assert message.channels != []
    take_in(state, Survey(live=[ID]), NOON)
    assert [one.notification.text for one in state.outbox[1:]] == ["Its workflow tasks are done again."]
    assert [write.entries[0].kind for write in state.backlog] == ["guard_found", "guard_cleared"]
    assert state.stuck == {}


def test_one_that_owns_no_route_is_not_called_closed_when_it_goes_on() -> None:
    state = GuardState(environment="test", number="7")
    take_in(state, Survey(stuck=[_stuck()], beside=[ID]), NOON)
    take_in(state, Survey(beside=[ID]), NOON)
    assert state.outbox[-1].notification.text == "Its workflow tasks are done again."
    take_in(state, Survey(stuck=[_stuck()], beside=[ID]), NOON)
    take_in(state, Survey(), NOON)
    assert state.outbox[-1].notification.text == "It is closed."


class Histories:
    """Counts how often a history is read."""

    def __init__(self) -> None:
        self.read = 0
        self.readable = True

    async def last_tasks(self, run: Run) -> LastTasks:
        self.read += 1
        return FAILED

    async def facts(self, run: Run) -> RunFacts:
        if not self.readable:
            raise PayloadUnreadable("no key")
        return FACTS


async def test_a_history_is_read_once_while_its_run_is_stuck() -> None:
    histories = Histories()
    stuck = StuckRuns(histories, "default")  # type: ignore[arg-type]
    for _ in range(3):
        assert await stuck.among([RUN]) == [_stuck()]
    assert histories.read == 1
    assert await stuck.among([RUN.model_copy(update={"problems": []})]) == []
    assert await stuck.among([RUN]) == [_stuck()]
    assert histories.read == 2


async def test_what_cannot_be_read_is_read_again() -> None:
    histories = Histories()
    stuck = StuckRuns(histories, "default")  # type: ignore[arg-type]
    histories.readable = False
    assert await stuck.among([RUN]) == [_stuck(facts=None)]
    histories.readable = True
    assert await stuck.among([RUN]) == [_stuck()]


def test_one_whose_history_cannot_be_read_is_shown_all_the_same() -> None:
    state = GuardState(environment="test", number="7")
    take_in(state, Survey(stuck=[_stuck(facts=None)], live=[ID]), NOON)
    assert state.outbox == []
    for shown in (page(state), _text(status(state))):
        assert "test/checkout is stuck since 12:00:00: its workflow tasks keep failing" in shown
        assert "temporal workflow terminate" in shown


def test_an_id_of_somebody_elses_is_no_error() -> None:
    odd = RUN.model_copy(update={"workflow_id": "mine; rm"})
    stuck = stuck_rollout(odd, None, FAILED, "default")
    assert (stuck.environment, "--workflow-id 'mine; rm'" in stuck.mend) == ("", True)
