"""What is said of a rollout whose workflow tasks keep failing: once, to whom, and where it is shown."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from activities.stuck_runs import ASK_WITHIN, AT_ONCE, StuckRuns
from coalmine.cli.guard import _text
from coalmine.errors import PayloadUnreadable, TemporalUnavailable
from coalmine.guard_page import page
from coalmine.guarding import status, take_in
from coalmine.ownership import LastTasks, Run, RunFacts
from coalmine.records import GuardState, StuckRollout, Survey
from coalmine.stuck import KEPT_STUCK, stuck_rollout
from tests.leaping_clock import run_leaping
from tests.test_guarding import split, watched
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


def test_one_that_is_not_listed_stays_stuck_until_it_is_known_what_became_of_it() -> None:
    state = GuardState(environment="test", number="7")
    take_in(state, Survey(stuck=[_stuck()], live=[ID]), NOON)
    # More open rollouts than a survey lists: it is left out of one, and back in the next.
    for survey in (Survey(cut=True, freed={}), Survey(stuck=[_stuck()], live=[ID], freed={})):
        take_in(state, survey, NOON)
        assert (list(state.stuck), len(state.outbox)) == (["r1"], 1)
    take_in(state, Survey(cut=True, freed={"r1": "goes_on"}), NOON)
    assert (state.stuck, state.outbox[-1].notification.text) == ({}, "Its workflow tasks are done again.")


def test_one_that_was_ended_does_not_go_on_because_another_runs_under_its_id() -> None:
    state = GuardState(environment="test", number="7")
    take_in(state, Survey(stuck=[_stuck()], live=[ID]), NOON)
    take_in(state, Survey(live=[ID], freed={"r1": "closed"}), NOON)
    assert state.outbox[-1].notification.text == "It is closed."


class Histories:
    """Counts how often a history is read, and how many at a time; one may take for ever."""

    def __init__(self) -> None:
        self.read = 0
        self.readable = True
        self.slow: set[str] = set()
        self.reading = 0
        self.most_at_once = 0
        self.now: list[Run] = []
        self.busy = False
        """The server is asked too much."""
        self.hangs = False

    async def described(self, workflow_id: str, run_id: str) -> Run | None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.busy:
            raise TemporalUnavailable("resource exhausted")
        return next((run for run in self.now if (run.workflow_id, run.run_id) == (workflow_id, run_id)), None)

    async def last_tasks(self, run: Run) -> LastTasks:
        self.read += 1
        if self.busy:
            raise TemporalUnavailable("resource exhausted")
        self.reading += 1
        self.most_at_once = max(self.most_at_once, self.reading)
        try:
            while run.run_id in self.slow:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0)
        finally:
            self.reading -= 1
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


async def test_what_became_of_each_is_asked_of_its_own_run() -> None:
    histories = Histories()
    over = RUN.model_copy(update={"open": False})
    histories.now = [
        RUN,
        RUN.model_copy(update={"run_id": "mended", "problems": []}),
        over.model_copy(update={"run_id": "ended", "ended": "terminated"}),
        over.model_copy(update={"run_id": "renewed", "ended": "continued_as_new"}),
    ]
    before = dict.fromkeys(["r1", "mended", "ended", "renewed", "forgotten", "listed"], ID)
    freed = await StuckRuns(histories, "default").freed(before, ["listed"])  # type: ignore[arg-type]
    assert freed == {"mended": "goes_on", "ended": "closed", "renewed": "goes_on", "forgotten": "closed"}


async def test_a_server_that_is_asked_too_much_leaves_the_look_what_it_has() -> None:
    histories = Histories()
    stuck = StuckRuns(histories, "default")  # type: ignore[arg-type]
    histories.busy = True
    assert await stuck.among([RUN]) == [_stuck(facts=None, last=LastTasks())]
    assert await stuck.freed({"r1": ID}, []) == {}
    histories.busy = False
    assert await stuck.among([RUN]) == [_stuck()]


def test_a_server_that_does_not_say_what_became_of_them_takes_no_look_away() -> None:
    async def ask() -> float:
        histories = Histories()
        histories.hangs = True
        before = {f"r{number}": f"{ID}{number}" for number in range(KEPT_STUCK)}
        assert await StuckRuns(histories, "default").freed(before, []) == {}  # type: ignore[arg-type]
        return asyncio.get_running_loop().time()

    assert run_leaping(ask()) == pytest.approx(ASK_WITHIN)


def _many(count: int) -> list[Run]:
    return [RUN.model_copy(update={"run_id": f"r{number}", "workflow_id": f"{ID}{number}"}) for number in range(count)]


async def test_many_histories_are_read_some_at_a_time() -> None:
    histories = Histories()
    found = await StuckRuns(histories, "default").among(_many(90))  # type: ignore[arg-type]
    assert [one.run_id for one in found] == [run.run_id for run in _many(90)]
    assert 1 < histories.most_at_once <= AT_ONCE


def test_what_a_look_has_no_time_to_read_is_shown_and_is_read_at_the_next() -> None:
    async def looks() -> None:
        histories, runs = Histories(), _many(40)
        histories.slow = {run.run_id for run in runs[10:]}
        stuck = StuckRuns(histories, "default")  # type: ignore[arg-type]
        found = await stuck.among(runs)
        assert [one.run_id for one in found] == [run.run_id for run in runs]
        assert [one.run_id for one in found if one.unread] == [run.run_id for run in runs[10:]]
        assert found[-1].reason.endswith("hears no rollback: category=WorkflowTaskFailed")
        histories.slow.clear()
        assert not [one for one in await stuck.among(runs) if one.unread]
        assert histories.read == 10 + AT_ONCE + 30

    run_leaping(looks())


def test_who_is_told_late_is_told_all_the_same_and_once() -> None:
    state = GuardState(environment="test", number="7")
    for facts in (None, FACTS, None, FACTS):
        take_in(state, Survey(stuck=[_stuck(facts)], live=[ID]), NOON)
    [message] = state.outbox
    assert message.notification.severity == "critical"
    [kept] = state.stuck.values()
    assert not kept.stuck.unread


async def test_more_than_are_remembered_are_counted_and_nobody_is_told_that_one_goes_on_for_it() -> None:
    state, runs = GuardState(environment="test", number="7"), _many(KEPT_STUCK + 3)
    stuck = StuckRuns(Histories(), "default")  # type: ignore[arg-type]

    async def look(found: list[Run]) -> None:
        shown = await stuck.among(found)
        beyond = [run.run_id for run in found if run.run_id not in {one.run_id for one in shown}]
        take_in(state, Survey(stuck=shown, also_stuck=beyond, live=[run.workflow_id for run in found]), NOON)

    await look(runs)
    assert state.failure.startswith("3 rollouts more are stuck than the 100 that are told of")
    # Temporal lists the latest first.
    await look(runs[::-1])
    assert {message.notification.severity for message in state.outbox} == {"critical"}
    assert list(state.stuck) == [run.run_id for run in runs[:KEPT_STUCK]]
    state.outbox.clear()
    for _ in range(2):
        await look(runs[3:])
    told = [message.notification.severity for message in state.outbox]
    assert (told.count("critical"), told.count("info")) == (3, 3)


def test_many_that_are_stuck_drive_no_other_message_out() -> None:
    state = GuardState(environment="test", number="7")
    found = [stuck_rollout(run, FACTS, FAILED, "default") for run in _many(KEPT_STUCK)]
    take_in(state, Survey(findings=[split()], watched=[watched()], stuck=found), NOON)
    titles = [message.notification.title for message in state.outbox]
    assert (titles[0], len(titles)) == ("test/checkout: traffic is split and no rollout owns it", KEPT_STUCK + 1)
    assert [write.entries[0].data["finding"] for write in state.backlog][:2] == ["split", "stuck"]


def test_of_whom_people_have_yet_to_be_told_is_read_before_those_that_came_later() -> None:
    async def looks() -> None:
        state, histories, runs = GuardState(environment="test", number="7"), Histories(), _many(KEPT_STUCK + 60)
        stuck = StuckRuns(histories, "default")  # type: ignore[arg-type]
        histories.slow = {run.run_id for run in runs}
        take_in(state, Survey(stuck=await stuck.among(runs[60:], state.stuck), also_stuck=[]), NOON)
        assert (len(state.stuck), state.outbox) == (KEPT_STUCK, [])
        histories.slow.clear()
        # Temporal lists the latest first.
        found = await stuck.among(runs, state.stuck)
        take_in(state, Survey(stuck=found, also_stuck=[run.run_id for run in runs[:60]]), NOON)
        assert len(state.outbox) == KEPT_STUCK

    run_leaping(looks())


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
