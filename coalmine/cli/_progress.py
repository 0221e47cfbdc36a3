"""How far a rollout is, in one line: what ``start --wait`` prints for logs, and its bar on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from coalmine.cli import _words
from coalmine.harmless import harmless
from coalmine.records import Outcome, Phase, RolloutStatus

SILENT_AT_MOST = 60.0
"""Seconds after which a line is printed though nothing changed: CI systems end jobs that say nothing."""


def share(status: RolloutStatus) -> float:
    """How much of the planned looks is over, from 0 to 1; a rollout that takes longer stays below 1 until its end."""
    if status.outcome is not None or status.phase is Phase.CLOSED:
        return 1.0
    if not status.planned_looks:
        return 0.0
    return min(status.looks / status.planned_looks, 0.99)


def where(status: RolloutStatus) -> str:
    """``step 2 of 3``, or the phase beside the steps."""
    if status.outcome is not None or status.phase not in (Phase.STEPPING, Phase.GATED, Phase.HELD):
        return ""
    return f"step {status.step + 1} of {len(status.steps)}" if status.steps else ""


def line(status: RolloutStatus, now: datetime) -> str:
    """One line for a log: how far, where, how long still, and what it waits for."""
    still_open = status.outcome is None and status.phase is not Phase.CLOSED
    parts = [
        f"{share(status):4.0%}",
        ", ".join(part for part in (where(status), _words.standing(status)) if part),
        _words.progress(status, now) if still_open else status.reason,
        f"held: {status.held_reason}" if status.held_reason and still_open else "",
        f"gate {_words.gate(status)}" if _words.gate(status) and still_open else "",
    ]
    return "  ".join(parts[:2]) + "".join(f"; {part}" for part in parts[2:] if part)


def stage(status: RolloutStatus) -> object:
    """What a new line is printed for; looks and requests go on all the time."""
    return (
        status.phase, status.step, status.canary_weight, status.paused, status.held_reason, status.outcome,
        status.gate and (status.gate.name, tuple(status.gate.approvals)), len(status.refused),
    )  # fmt: skip


@contextmanager
def live_bar() -> Iterator[Callable[[RolloutStatus], None]]:
    """A bar that redraws itself, for terminals."""
    from datetime import UTC

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[name]}", style="bold", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[said]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console()) as progress:
        task = progress.add_task("", total=1.0, name="connecting …", said="")

        def show(status: RolloutStatus) -> None:
            said = harmless(line(status, datetime.now(UTC)))
            bad = status.outcome not in (None, Outcome.PROMOTED)
            progress.update(task, completed=share(status), name=_words.versions(status), said=said)
            if bad:
                progress.stop_task(task)

        yield show
