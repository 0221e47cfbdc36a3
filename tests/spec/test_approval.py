"""An approval gate that says nothing of identity is written as before, so that its spec keeps its digest."""

from __future__ import annotations

from coalmine.spec.steps import ApprovalGate


def test_younger_keys_are_left_out_until_they_are_said() -> None:
    plain = ApprovalGate(by=["sre"]).model_dump(mode="json")
    assert set(plain) == {"by", "count", "timeout", "on_timeout"}
    said = ApprovalGate(verified=True, four_eyes=True, break_glass=False)
    dumped = said.model_dump(mode="json")
    assert (dumped["verified"], dumped["four_eyes"], dumped["break_glass"]) == (True, True, False)
    assert ApprovalGate.model_validate_json(said.model_dump_json()) == said
