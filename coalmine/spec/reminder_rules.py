"""What a gate's reminders and escalation must say, and which channels hear of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from coalmine.spec.canary import CanarySpec
from coalmine.spec.durations import format_duration
from coalmine.spec.faults import Fault, Path, did_you_mean
from coalmine.spec.steps import ApprovalGate

SHORTEST_REMINDER = timedelta(minutes=1)
"""People stop reading what comes more often."""


def reminder_faults(spec: CanarySpec) -> Iterator[Fault]:
    """Everything that contradicts itself between gates, channels and people."""
    named = [channel.name for channel in spec.notify if channel.name is not None]
    everyone = {person for group in spec.people.values() for person in group}
    escalated: set[str] = set()
    for index, step in enumerate(spec.steps):
        approval = step.gate.approval if step.gate is not None else None
        if approval is None:
            continue
        path: Path = ("steps", index, "gate", "approval")
        yield from _too_early_or_late(path, approval)
        for place, name in enumerate(approval.escalate.to if approval.escalate is not None else ()):
            escalated.add(name)
            if name not in named and name not in spec.people and name not in everyone and "@" not in name:
                mend = did_you_mean(name, [*named, *spec.people, *sorted(everyone)])
                message = f"{name!r} is neither a channel of notify, nor a group of people, nor an identity{mend}"
                yield Fault((*path, "escalate", "to", place), message)
    for index, channel in enumerate(spec.notify):
        if channel.name is not None and channel.name in named[: _names_before(spec, index)]:
            yield Fault(("notify", index, "name"), f"{channel.name!r} is there twice: each channel has its own name")
        if channel.only is not None and channel.name not in escalated:
            mend = "needs a name that a gate's escalate.to holds, or it would never hear of anything"
            yield Fault(("notify", index, "only"), mend)


def _too_early_or_late(path: Path, approval: ApprovalGate) -> Iterator[Fault]:
    longest = format_duration(approval.timeout)
    if approval.remind is not None and not SHORTEST_REMINDER <= approval.remind < approval.timeout:
        least = format_duration(SHORTEST_REMINDER)
        yield Fault((*path, "remind"), f"must be at least {least}, and shorter than the gate's timeout ({longest})")
    if approval.escalate is not None and not timedelta(0) < approval.escalate.after < approval.timeout:
        message = f"must be longer than zero, and shorter than the gate's timeout ({longest})"
        yield Fault((*path, "escalate", "after"), message)


def _names_before(spec: CanarySpec, index: int) -> int:
    return sum(channel.name is not None for channel in spec.notify[:index])
