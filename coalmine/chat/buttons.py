"""What a button or a dialog carries, and which buttons a rollout has now. Pure.

A button names the very rollout, gate and attempt it was drawn for: pressed later, it opens nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from coalmine.records import Phase, RolloutStatus, Verb

BUTTONS = {
    Verb.APPROVE: ("Approve", "primary"),
    Verb.REJECT: ("Reject", "danger"),
    Verb.PAUSE: ("Pause", ""),
    Verb.RESUME: ("Resume", ""),
    Verb.PROMOTE: ("Promote", ""),
    Verb.ROLLBACK: ("Roll back", "danger"),
}
"""Verbs that have a button, in order: label and style."""
ACTION = "rollout:"
"""Begins the action id of each button and the callback id of each dialog; the verb follows."""
LONGEST_VALUE = 2_000


def verb_of(action_id: Any) -> Verb:
    """The verb of a button or a dialog, by its id.

    Raises:
        ValueError: there is no such button here: another version of the app drew it.
    """
    for verb in BUTTONS:
        if action_id == f"{ACTION}{verb}":
            return verb
    raise ValueError("there is no such button in this version of the app, use the command")


@dataclass(frozen=True)
class Pressed:
    """Which rollout, and which asking of which gate, a button is about."""

    workflow_id: str
    rollout_id: str
    gate: str | None = None
    attempt: int | None = None

    def value(self) -> str:
        """For the button: JSON, short."""
        return json.dumps([self.workflow_id, self.rollout_id, self.gate, self.attempt], ensure_ascii=False)

    @classmethod
    def of_value(cls, text: Any) -> Pressed:
        """Read it back.

        Raises:
            ValueError: it is none of ours.
        """
        data = json.loads(text) if isinstance(text, str) and len(text) <= LONGEST_VALUE else None
        if not isinstance(data, list) or len(data) != 4:
            raise ValueError("a button of another app or version")
        workflow_id, rollout_id, gate, attempt = data
        if not isinstance(workflow_id, str) or not isinstance(rollout_id, str) or not rollout_id:
            raise ValueError("a button without a rollout")
        if not isinstance(gate, str | None) or isinstance(attempt, bool) or not isinstance(attempt, int | None):
            raise ValueError("a button with an odd gate")
        return cls(workflow_id, rollout_id, gate, attempt)


def pressed(status: RolloutStatus, verb: Verb) -> Pressed:
    """What a button drawn now carries; gate and attempt belong to approve and reject only."""
    gate = status.gate if verb in (Verb.APPROVE, Verb.REJECT) else None
    named = (gate.name, gate.attempt) if gate is not None and gate.state == "waiting" else (None, None)
    return Pressed(status.workflow_id, status.rollout_id, *named)


def offered(status: RolloutStatus) -> list[Verb]:
    """The buttons that can act now; reject only where a gate waits, since rollback does the same elsewhere."""
    if status.phase is Phase.CLOSED or not status.rollout_id:
        return []
    waits = status.gate is not None and status.gate.state == "waiting"
    return [verb for verb in BUTTONS if verb in status.can_send and (verb is not Verb.REJECT or waits)]


def stale(asked: Pressed, verb: Verb, status: RolloutStatus) -> str:
    """Why this button means nothing any more, in words; empty when it still does."""
    if status.rollout_id != asked.rollout_id:
        now = f"{status.rollout_id} runs there now" if status.rollout_id else "another one begins there"
        return f"this button belongs to {asked.rollout_id}, which is over: {now}, and nothing was sent to it"
    if status.phase is Phase.CLOSED:
        return f"{status.rollout_id} is closed ({_ending(status)}): there is nothing to {_word(verb)} any more"
    if asked.gate is None:
        return ""
    gate = status.gate
    if gate is None or gate.name != asked.gate or gate.state != "waiting":
        return (
            f"gate '{asked.gate}' does not wait any more: the rollout is {_phase(status)} at {status.canary_weight:g} %"
        )
    if gate.attempt != asked.attempt:
        at = f"is at attempt {gate.attempt}, and this button is of attempt {asked.attempt}"
        return f"gate '{asked.gate}' {at}: use the new one"
    return ""


def _ending(status: RolloutStatus) -> str:
    return str(status.outcome or "ended").replace("_", " ")


def _phase(status: RolloutStatus) -> str:
    return str(status.phase).replace("_", " ")


def _word(verb: Verb) -> str:
    return "roll back" if verb is Verb.ROLLBACK else str(verb)


@dataclass(frozen=True)
class Dialog:
    """What a dialog carries besides its button: where the answer goes."""

    workflow_id: str
    rollout_id: str
    gate: str | None
    attempt: int | None
    channel: str
    url: str = ""
    """The ``response_url`` of the click."""

    @property
    def asked(self) -> Pressed:
        """What the button was about."""
        return Pressed(self.workflow_id, self.rollout_id, self.gate, self.attempt)

    def text(self) -> str:
        """For the dialog's private metadata."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def of_text(cls, text: Any) -> Dialog:
        """Read it back.

        Raises:
            ValueError: it is none of ours.
        """
        data = json.loads(text) if isinstance(text, str) else None
        if not isinstance(data, dict):
            raise ValueError("a dialog of another app or version")
        asked = Pressed.of_value(
            json.dumps([data.get(key) for key in ("workflow_id", "rollout_id", "gate", "attempt")])
        )
        channel, url = data.get("channel"), data.get("url")
        if not isinstance(channel, str) or not isinstance(url, str):
            raise ValueError("a dialog without a channel")
        return cls(asked.workflow_id, asked.rollout_id, asked.gate, asked.attempt, channel, url)
