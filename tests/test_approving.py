"""Who may open a gate, and who counts as another person."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coalmine import command_input, commands
from coalmine.gates import Approval
from coalmine.records import Identity, Phase, Verb
from coalmine.rollout import RolloutState
from coalmine.spec import recheck
from coalmine.standing import approval_text
from tests.workflows.specs import make_spec, make_submission

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NFC, NFD = unicodedata.normalize("NFC", "José"), unicodedata.normalize("NFD", "José")


def make_state(
    people: list[str] | None = None, started_by: str = "dan", authors: tuple[str, ...] = (), **approval: Any
) -> RolloutState:
    """Before a gate of ``people``, or of anyone."""
    gate = {"name": "go", "approval": {"by": ["sre"] if people else [], "timeout": "10h", **approval}}
    steps = [{"weight": 10, "for": "20s"}, {"weight": 50, "for": "20s", "gate": gate}]
    spec = make_spec(steps=steps, people={"sre": people} if people else {})
    submission = make_submission(spec, by=started_by, authors=list(authors))
    state = RolloutState.begin(submission, "canary/test/checkout", "run", NOW)
    state.phase, state.step = Phase.GATED, 0
    state.gates[0].waiting_since, state.gates[0].deadline = NOW, NOW + timedelta(hours=10)
    return state


def say(state: RolloutState, by: str, *, signed: bool = False, verb: Verb = Verb.APPROVE, reason: str = "") -> str:
    """What comes of it."""
    command = command_input.decode(verb, {"by": by, "reason": reason})
    identity = Identity(person=by, key="k", token_id=by, expires=NOW + timedelta(minutes=5)) if signed else None
    why = commands.refusal(state, verb, command, identity)
    return why or commands.carry_out(state, verb, command, NOW, identity)


@pytest.mark.parametrize("again", ["Ana", "ANA", "ana\u200b", "\uff41\uff4e\uff41"], ids=ascii)
@pytest.mark.parametrize("people", [None, ["Ana", "bo"]], ids=["anyone", "a group"])
@pytest.mark.parametrize("signed", [(False, False), (True, False), (False, True), (True, True)], ids=str)
def test_one_person_counts_once(again: str, people: list[str] | None, signed: tuple[bool, bool]) -> None:
    state = make_state(people, count=2)
    assert say(state, "ana", signed=signed[0]) == "gate 'go' has 1 of 2 approvals"
    say(state, again, signed=signed[1])
    assert not state.gate_open(state.gates[0])
    assert state.yeses(state.gates[0]) == 1
    assert say(state, "bo", signed=signed[1]) == "gate 'go' is open"


def test_what_was_said_is_kept_and_shown() -> None:
    state = make_state(["ana", "bo"], count=2)
    say(state, "ANA")
    assert [given.by for given in state.gates[0].approvals] == ["ANA"]
    assert "approved so far by ANA" in approval_text(state)
    assert say(state, "ana") == "ana approved gate 'go' already"


@pytest.mark.parametrize(
    ("theirs", "ours"), [(NFD, NFC), (NFC, NFD), ("dan", "dan\u200b"), ("Dan ", "\uff44an")], ids=ascii
)
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("role", ["starter", "author"])
def test_four_eyes_see_through_spelling(theirs: str, ours: str, signed: bool, role: str) -> None:
    own: dict[str, Any] = {"started_by": theirs} if role == "starter" else {"authors": (theirs,)}
    state = make_state([ours, "bo"], four_eyes=True, verified=signed, **own)
    assert "four_eyes" in say(state, ours, signed=signed)
    assert not state.gate_open(state.gates[0])
    assert say(state, "bo", signed=signed) == "gate 'go' is open"


def test_four_eyes_are_not_those_of_who_proved_to_have_started_it_for_another() -> None:
    """CI starts by its own token and says for whom: neither of the two approves."""
    state = make_state(["dan", "ci:org/shop", "bo"], four_eyes=True, verified=True)
    state.starter = Identity(person="ci:org/shop", key="k", issuer="https://ci.example")
    for own in ("dan", "ci:org/shop", "CI:org/shop"):
        assert "four_eyes" in say(state, own, signed=True)
    assert say(state, "bo", signed=True) == "gate 'go' is open"


def test_a_glass_broken_at_one_attempt_opens_no_other() -> None:
    state = make_state(["ana"])
    [gate] = state.gates
    gate.approvals.append(Approval(by="eve", attempt=1, at=NOW, break_glass=True))
    assert state.gate_open(gate)
    gate.attempt = 2
    assert not state.gate_open(gate)


def test_a_yes_to_a_later_gate_does_not_open_the_one_that_waits() -> None:
    steps = [
        {"weight": weight, "for": "20s", "gate": {"name": name, "approval": {"timeout": "10h"}}}
        for weight, name in ((10, "go"), (50, "wide"))
    ]
    state = RolloutState.begin(make_submission(make_spec(steps=steps)), "canary/test/checkout", "run", NOW)
    state.phase, state.step = Phase.GATED, -1
    state.gates[0].waiting_since, state.gates[0].deadline = NOW, NOW + timedelta(hours=10)
    command = command_input.decode(Verb.APPROVE, {"by": "ana", "gate": "wide"})
    assert commands.refusal(state, Verb.APPROVE, command) is None
    assert commands.carry_out(state, Verb.APPROVE, command, NOW) == "gate 'wide' is open"
    assert [state.gate_open(gate) for gate in state.gates] == [False, True]


def test_unsigned_words_that_do_not_count_are_kept_once() -> None:
    state = make_state(["ana"], verified=True)
    for by in ("ana", "Ana", "ana\u200b"):
        assert "recorded as unverified" in say(state, by)
    assert [given.by for given in state.gates[0].approvals] == ["ana"]


@pytest.mark.parametrize("verb", list(Verb))
def test_a_name_that_nobody_can_see_is_refused(verb: Verb) -> None:
    assert say(make_state(), "\u200b", verb=verb) == "'by' is '\\u200b', of which nothing can be seen: say who you are"


def test_a_promote_past_a_signed_gate_asks_for_a_reason() -> None:
    state = make_state(["bo"], started_by="dan", verified=True, four_eyes=True)
    assert say(state, "dan", signed=True, verb=Verb.PROMOTE) == (
        "a promote past gate 'go', which counts signed decisions only, asks for a reason of 20 characters, not 0"
    )
    assert "not 3" in say(state, "dan", signed=True, verb=Verb.PROMOTE, reason="  now ")
    assert "sign the promote" in say(state, "dan", verb=Verb.PROMOTE, reason="payments are down since noon")
    told = say(state, "dan", signed=True, verb=Verb.PROMOTE, reason="payments are down since noon")
    assert told.startswith("promoting to 100 % now")


def test_a_promote_past_another_gate_asks_for_none() -> None:
    assert say(make_state(["bo"]), "dan", verb=Verb.PROMOTE).startswith("promoting to 100 % now")


def test_a_run_that_began_before_goes_on_by_its_rules() -> None:
    state = make_state(count=2)
    state.by_older_rules = True
    say(state, "ana")
    assert say(state, "Ana") == "gate 'go' is open"
    state = make_state(["ana"])
    state.by_older_rules = True
    assert "asks for one of" in say(state, "Ana")
    assert say(state, "ANA", signed=True) == "gate 'go' is open"
    state = make_state(["bo"], verified=True)
    state.by_older_rules = True
    assert say(state, "dan", signed=True, verb=Verb.PROMOTE).startswith("promoting to 100 % now")
    carried = RolloutState.model_validate(make_state().model_dump(exclude={"by_older_rules"}))
    assert carried.by_older_rules is False


def test_a_spec_whose_people_are_one_is_refused() -> None:
    spec = make_state(["ana", "Ana\u200b"], count=2).spec
    assert [str(problem) for problem in recheck(spec)] == [
        "people.sre[1]: 'Ana\\u200b' is the same person as 'ana': leave one out",
        "steps[1].gate.approval.count: 2 must approve, but of Ana\\u200b, ana only 1 are different people: the gate "
        "could never open",
    ]
    assert recheck(spec, older=True) == []
    [nobody] = recheck(make_state(["\u200b"]).spec)
    assert "has nothing that can be seen" in str(nobody)
