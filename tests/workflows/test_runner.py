"""The runner takes in no event before the workflow task that carries it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import WorkflowInstance

from coalmine.records import ASKED_TOO_EARLY, NEVER_COMPLETED
from workflows.runner import COUNT, PATCH, HistoryBound


class Instance(WorkflowInstance):
    """Counts what reaches it."""

    def __init__(self) -> None:
        self.taken: list[WorkflowActivation] = []

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        self.taken.append(act)
        completion = WorkflowActivationCompletion(run_id=act.run_id)
        completion.successful.SetInParent()
        return completion

    def get_serialization_context(self, command_info: Any) -> Any:
        return "serialization"

    def get_external_store_context(self, command_info: Any) -> Any:
        return "store"

    def get_info(self) -> Any:
        return "info"

    def get_thread_id(self) -> int | None:
        return 7


@dataclass
class Server:
    """What it knows; ``asked`` are the tasks it was asked about."""

    closed: bool = False
    completed: bool = True
    asked: list[int] = field(default_factory=list)

    def is_closed(self, workflow_id: str, run_id: str) -> bool:
        return self.closed

    def is_completed(self, workflow_id: str, run_id: str, started: int) -> bool:
        self.asked.append(started)
        return self.completed


def question() -> WorkflowActivation:
    """A query without a task."""
    act = activation(0, 0, "query_workflow")
    act.jobs[0].query_workflow.query_id = "legacy_query"
    return act


def activation(second: int, length: int, *jobs: str, replaying: bool = False) -> WorkflowActivation:
    act = WorkflowActivation(run_id="run", history_length=length, is_replaying=replaying)
    act.timestamp.seconds = second
    for job in jobs:
        getattr(act.jobs.add(), job).SetInParent()
    return act


def test_a_timer_that_comes_before_its_task_is_refused() -> None:
    inner = Instance()
    runner = HistoryBound(inner)
    runner.activate(activation(1, 3, "initialize_workflow", replaying=True))
    runner.activate(activation(2, 10, "resolve_activity", replaying=True))
    # What core 1.35 made of a query while the timer's task had not begun: the last task's time, a longer history.
    refused = runner.activate(activation(2, 13, "fire_timer"))
    assert refused.failed.failure.message == ASKED_TOO_EARLY
    assert refused.run_id == "run"
    assert len(inner.taken) == 2


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(activation(3, 14, "fire_timer"), id="the next task"),
        pytest.param(activation(2, 10, "resolve_activity"), id="more of the same task"),
        pytest.param(activation(2, 13, "fire_timer", replaying=True), id="a task that is replayed"),
        pytest.param(activation(2, 13, "query_workflow"), id="a question"),
        pytest.param(activation(0, 13, "remove_from_cache"), id="an eviction"),
    ],
)
def test_all_else_is_let_through(act: WorkflowActivation) -> None:
    inner = Instance()
    runner = HistoryBound(inner)
    runner.activate(activation(2, 10, "resolve_activity"))
    assert runner.activate(act).HasField("successful")
    assert inner.taken[-1] is act


def test_a_workflow_that_is_over_can_be_asked() -> None:
    runner = HistoryBound(Instance(), Server(closed=True))
    runner.activate(activation(2, 10, "resolve_activity", replaying=True))
    assert runner.activate(activation(2, 13, "fire_timer")).HasField("successful")


def taken_over(server: Server) -> HistoryBound:
    """A worker without the workflow takes in what happened up to event 10, where another one's task has begun."""
    runner = HistoryBound(Instance(), server, "canary/test/a")
    runner.activate(activation(1, 3, "initialize_workflow", replaying=True))
    runner.activate(activation(2, 10, "resolve_activity"))
    return runner


def test_what_another_worker_never_completed_is_nothing_to_stand_on() -> None:
    server = Server(completed=False)
    refused = taken_over(server).activate(question())
    assert refused.failed.failure.message == NEVER_COMPLETED
    assert server.asked == [10]


def test_what_was_terminated_within_a_task_can_be_asked() -> None:
    runner = taken_over(Server(closed=True, completed=False))
    assert runner.activate(question()).HasField("successful")
    assert runner.activate(question()).HasField("successful")


def test_what_was_completed_is_asked_about_once() -> None:
    server = Server()
    runner = taken_over(server)
    assert runner.activate(question()).HasField("successful")
    assert runner.activate(question()).HasField("successful")
    assert runner.activate(activation(4, 14, "fire_timer")).HasField("successful")
    assert runner.activate(question()).HasField("successful")
    assert server.asked == [10, 14]


def test_nothing_is_asked_where_history_says_so_or_the_question_came_with_its_task() -> None:
    server = Server(completed=False)
    runner = HistoryBound(Instance(), server)
    runner.activate(activation(2, 10, "resolve_activity"))
    assert runner.activate(activation(2, 10, "query_workflow")).HasField("successful")
    assert runner.activate(activation(3, 14, "fire_timer")).HasField("successful")
    runner.activate(activation(4, 18, "fire_timer", replaying=True))
    assert runner.activate(question()).HasField("successful")
    assert server.asked == []


def test_a_question_does_not_count_as_a_task() -> None:
    runner = HistoryBound(Instance())
    runner.activate(activation(2, 10, "resolve_activity"))
    runner.activate(activation(2, 13, "query_workflow"))
    assert runner.activate(activation(2, 13, "fire_timer")).HasField("failed")


class Busy(Instance):
    """Decides something in every task."""

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        completion = super().activate(act)
        completion.successful.commands.add().start_timer.seq = 1
        return completion


def commands(completion: WorkflowActivationCompletion) -> list[str | None]:
    return [command.WhichOneof("variant") for command in completion.successful.commands]


def first(*patches: str, replaying: bool) -> WorkflowActivation:
    act = activation(1, 3, "initialize_workflow", *["notify_has_patch" for _ in patches], replaying=replaying)
    for job, patch in zip(act.jobs[1:], patches, strict=True):
        job.notify_has_patch.patch_id = patch
    return act


def test_a_task_that_decided_nothing_counts_itself() -> None:
    runner = HistoryBound(Instance())
    assert commands(runner.activate(first(replaying=False))) == ["set_patch_marker"]
    for number, second in ((1, 2), (2, 3)):
        [command] = runner.activate(activation(second, 10 * second, "resolve_activity")).successful.commands
        assert command.modify_workflow_properties.upserted_memo.fields[COUNT].data == str(number).encode()


def test_a_question_is_not_counted() -> None:
    runner = HistoryBound(Instance())
    runner.activate(first(replaying=False))
    assert not commands(runner.activate(activation(1, 3, "query_workflow")))


def test_a_task_that_decided_something_is_not_counted() -> None:
    runner = HistoryBound(Busy())
    assert commands(runner.activate(first(replaying=False))) == ["start_timer", "set_patch_marker"]
    assert commands(runner.activate(activation(2, 10, "resolve_activity"))) == ["start_timer"]


@pytest.mark.parametrize(("patches", "counted"), [((PATCH,), 1), (("another",), 0), ((), 0)])
def test_a_history_is_replayed_as_it_was_written(patches: tuple[str, ...], counted: int) -> None:
    runner = HistoryBound(Instance())
    assert len(commands(runner.activate(first(*patches, replaying=True)))) == counted
    assert len(commands(runner.activate(activation(2, 10, "resolve_activity", replaying=True)))) == counted


@pytest.mark.parametrize("replaying", [False, True])
def test_what_a_reset_lets_hear_again_comes_in_one_order(replaying: bool) -> None:
    instance = Instance()
    heard = ["do_update", "signal_workflow", "do_update", "signal_workflow"]
    act = activation(1, 9, "initialize_workflow", "update_random_seed", *heard, replaying=replaying)
    for number, job in enumerate(act.jobs):
        if job.HasField("do_update"):
            job.do_update.name = str(number)
    HistoryBound(instance).activate(act)
    (taken,) = instance.taken
    kinds = [job.WhichOneof("variant") for job in taken.jobs]
    assert kinds == ["initialize_workflow", "update_random_seed", *["signal_workflow"] * 2, *["do_update"] * 2]
    assert [job.do_update.name for job in taken.jobs[-2:]] == ["2", "4"]


def test_without_a_reset_what_was_said_keeps_its_order() -> None:
    instance = Instance()
    HistoryBound(instance).activate(activation(1, 9, "do_update", "signal_workflow"))
    assert [job.WhichOneof("variant") for job in instance.taken[0].jobs] == ["do_update", "signal_workflow"]


def test_the_rest_is_as_the_instance_says() -> None:
    runner = HistoryBound(Instance())
    assert (runner.get_serialization_context(None), runner.get_external_store_context(None)) == (
        "serialization",
        "store",
    )
    info: Any = runner.get_info()
    assert (info, runner.get_thread_id()) == ("info", 7)
