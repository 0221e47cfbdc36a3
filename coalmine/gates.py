"""The approval gates of a rollout: what stands before a step, who said yes to it, and whom it asks for. Pure.

Who may say yes is in ``coalmine.approving``, which yeses count in ``coalmine.rollout``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coalmine.records import Moment, Record
from coalmine.spec.canary import CanarySpec
from coalmine.spec.steps import ApprovalGate

MOST_MEMBERS = 20
"""Members of one group that an entry of the record names: each reminder repeats them, and more is a call to nobody."""


class Approval(Record):
    """One person's yes to one attempt of a gate."""

    by: str
    attempt: int
    at: Moment
    reason: str = ""
    verified: bool = False
    """A key proved who it was."""
    break_glass: bool = False


class GateState(Record):
    """The approval gate before one step. A decision names the gate and its attempt; a stale one opens nothing."""

    name: str
    step: int
    attempt: int = 1
    approvals: list[Approval] = []
    waiting_since: Moment | None = None
    deadline: Moment | None = None
    reminders: int = 0
    """How many times ``remind`` had passed when people were last told that it waits."""
    escalated: bool = False


def gate_name(spec: CanarySpec, index: int) -> str:
    """A gate's name: the one in the spec, else ``step-<n>`` (counted from 1)."""
    gate = spec.steps[index].gate
    return gate.name if gate is not None and gate.name else f"step-{index + 1}"


def approval_of(spec: CanarySpec, index: int) -> ApprovalGate:
    """The approval that step ``index`` asks for; call it only for steps that have one."""
    gate = spec.steps[index].gate
    if gate is None or gate.approval is None:
        raise LookupError(f"step {index + 1} has no approval gate")
    return gate.approval


def approvers(spec: CanarySpec, gate: ApprovalGate) -> set[str] | None:
    """The identities that may approve: groups resolved by ``people``; None = anyone."""
    if not gate.by:
        return None
    return {person for entry in gate.by for person in spec.people.get(entry, [entry])}


def members_of(spec: CanarySpec, names: Sequence[str]) -> dict[str, Any]:
    """``members`` for the data of an entry that asks for these: who is in each group; nothing where none is a group.

    Whoever reads the record has no spec: without it a group is a name that no chat knows.
    """
    members = {name: spec.people[name][:MOST_MEMBERS] for name in names if name in spec.people}
    return {"members": members} if members else {}
