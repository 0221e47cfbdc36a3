"""Work beside the rollout's main line (ledger, messages, diagnosis, archive), which goes last in a workflow task.

A worker that takes a workflow over replays its history, and may fold a task in which nothing was decided into the next
one; when people send an update at that moment, the SDK's core folds while it plays and does not fold when it replays
what it has written (open as issue 1591 of temporalio/sdk-python). A loop is then idle in one and busy in the other, and
a history in which its commands come first replays no more. So the main line runs until it waits, then the loops do, one
rank after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from temporalio import workflow

PATCH = "background-last"
"""Histories recorded before have commands of the loops wherever they came to run."""
ROUNDS = 5
"""More than the main line ever needs to come to rest, and than two loops of one rank can differ by."""


class Rank(IntEnum):
    """Who goes first among the loops."""

    LEDGER = 1
    MESSAGES = 2
    DIAGNOSIS = 3
    ARCHIVE = 4
    REMINDERS = 5
    DECISIONS = 6


async def when(due: Callable[[], bool], rank: Rank) -> None:
    """Wait until ``due``, and until the main line and the loops of lower ranks have had their turn in this task."""
    while True:
        await workflow.wait_condition(due)
        if not workflow.patched(PATCH):
            return
        for _ in range(rank * ROUNDS):
            # The SDK looks at conditions when nothing is ready to run any more: whoever can run has done so by then.
            await workflow.wait_condition(lambda: True)
        if due():
            return
