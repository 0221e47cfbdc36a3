"""What gates and the people they name must say together: names of their own, people who exist, and enough of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from coalmine.identity.names import LONGEST_NAME, folded
from coalmine.spec.canary import CanarySpec
from coalmine.spec.faults import Fault, did_you_mean, listed, shown


def gate_faults(spec: CanarySpec) -> Iterator[Fault]:
    """What contradicts itself in the gates of the steps."""
    seen: dict[str, int] = {}
    everyone = {person for group in spec.people.values() for person in group}
    for index, step in enumerate(spec.steps):
        if step.gate is None:
            continue
        path = ("steps", index, "gate")
        name = step.gate.name or f"step-{index + 1}"
        if name in seen:
            yield Fault(
                (*path, "name") if step.gate.name else path,
                f"the gate before step {seen[name] + 1} is called {name!r} already: each gate has its own name",
            )
        seen.setdefault(name, index)
        approval = step.gate.approval
        if approval is None:
            yield Fault(path, "the gate asks for nothing: write approval: {} below it, or leave it out")
            continue
        if approval.timeout <= timedelta(0):
            yield Fault((*path, "approval", "timeout"), "must be longer than zero, or nobody could approve in time")
        unknown = False
        for place, entry in enumerate(approval.by):
            if entry not in spec.people and entry not in everyone and "@" not in entry:
                unknown = True
                mend = did_you_mean(entry, [*spec.people, *sorted(everyone)])
                message = f"{entry!r} is neither a group of people nor an identity{mend}"
                yield Fault((*path, "approval", "by", place), message)
            elif entry not in spec.people and entry not in everyone and (problem := _identity_problem(entry)):
                unknown = True
                yield Fault((*path, "approval", "by", place), problem)
        people = {person for entry in approval.by for person in spec.people.get(entry, [entry])}
        if approval.by and not unknown and len(people) < approval.count:
            yield Fault(
                (*path, "approval", "count"),
                f"{approval.count} must approve, but {listed(approval.by)} names {len(people)} "
                f"({listed(sorted(people), 'nobody')}): the gate could never open",
            )


def people_faults(spec: CanarySpec) -> Iterator[Fault]:
    """What is wrong with the groups of people."""
    for group, people in spec.people.items():
        for index, person in enumerate(people):
            if not person.strip():
                yield Fault(("people", group, index), "is empty: write who it is, or leave it out")
            elif problem := _identity_problem(person):
                yield Fault(("people", group, index), problem)
            elif person in people[:index]:
                yield Fault(("people", group, index), f"{person!r} is in the group twice")


def same_people_faults(spec: CanarySpec) -> Iterator[Fault]:
    """Where two names are one person, or nobody: a gate counts people (``coalmine.identity.names``)."""
    for group, people in spec.people.items():
        for index, person in enumerate(people):
            if person.strip() and not folded(person):
                yield Fault(("people", group, index), f"{person!r} has nothing that can be seen: write who it is")
            elif person in people[:index]:
                continue
            elif (same := next((one for one in people[:index] if folded(one) == folded(person)), None)) is not None:
                yield Fault(("people", group, index), f"{person!r} is the same person as {same!r}: leave one out")
    for index, step in enumerate(spec.steps):
        approval = step.gate.approval if step.gate is not None else None
        if approval is None or not approval.by:
            continue
        named = {person for entry in approval.by for person in spec.people.get(entry, [entry])}
        people_meant = {folded(person) for person in named}
        if len(people_meant) < approval.count <= len(named):
            yield Fault(
                ("steps", index, "gate", "approval", "count"),
                f"{approval.count} must approve, but of {listed(sorted(named))} only {len(people_meant)} are different "
                "people: the gate could never open",
            )


def _identity_problem(person: str) -> str | None:
    """Why nobody can ever be this person: what is sent as ``by`` is stripped, and refused when it is long."""
    if person != person.strip():
        return f"{shown(person)} begins or ends with a space, which nobody's name does: leave it out"
    if len(person) > LONGEST_NAME:
        return f"{shown(person)} has {len(person):,} characters: a name has at most {LONGEST_NAME}"
    return None
