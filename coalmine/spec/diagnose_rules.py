"""What the keys of ``diagnose`` may say: labels that exist, times that end, links that can be filled in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from coalmine.spec.canary import Diagnose
from coalmine.spec.durations import format_duration
from coalmine.spec.faults import Fault, shown
from coalmine.spec.links import link_problem

LONGEST_DIAGNOSIS = timedelta(hours=1)
SLOWEST_DIAGNOSIS = timedelta(minutes=2)


def diagnose_faults(diagnose: Diagnose) -> Iterator[Fault]:
    """What cannot be gathered as it is written."""
    for index, label in enumerate(diagnose.labels):
        if not label.strip() or not label.isprintable():
            yield Fault(("diagnose", "labels", index), f"{shown(label)} cannot be a label: it is blank or invisible")
        elif label in diagnose.labels[:index]:
            yield Fault(("diagnose", "labels", index), f"{label!r} is there twice")
    if not timedelta(0) < diagnose.window <= LONGEST_DIAGNOSIS:
        longest = format_duration(LONGEST_DIAGNOSIS)
        yield Fault(("diagnose", "window"), f"must be longer than zero and at most {longest}: raw samples are read")
    if not timedelta(0) < diagnose.timeout <= SLOWEST_DIAGNOSIS:
        longest = format_duration(SLOWEST_DIAGNOSIS)
        yield Fault(("diagnose", "timeout"), f"must be longer than zero and at most {longest}: closing waits for it")
    for name, template in diagnose.links.items():
        if not name.strip() or not name.isprintable():
            yield Fault(("diagnose", "links", name), f"{shown(name)} cannot be a name: it is blank or invisible", True)
        elif problem := link_problem(template):
            yield Fault(("diagnose", "links", name), problem)
