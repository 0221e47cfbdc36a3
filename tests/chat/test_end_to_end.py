"""A real Temporal dev server, the real workflows, the real Bolt app, and decisions that are signed for people."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from coalmine.cli.keys import service_key_file
from coalmine.records import Outcome, Phase, RolloutStatus
from tests.chat.conftest import ANA, BO, CY, Office
from tests.cli.conftest import Desk

STEPS = [
    {"weight": 10, "for": "1s"},
    {"weight": 50, "for": "10m", "gate": {"name": "go", "approval": {"by": ["sre"], "verified": True}}},
]


async def signing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A key of the chat app's, which the worker believes."""
    path = desk.folder / "chat.key"
    assert (await desk.type("keys", "create", str(path), "--service", "chat")).code == 0
    public = await desk.type("keys", "jwks", str(path))
    assert json.loads(public.out)["keys"][0]["coalmine_signs_for"] == "anyone"
    (desk.folder / "keys.json").write_text(public.out)
    desk.world.environ["COALMINE_DECISION_KEYS"] = str(desk.folder / "keys.json")
    return service_key_file(str(path))


async def start(desk: Desk, version: str = "1.1.0") -> None:
    arms = {
        "baseline": {"version": "1.0.0", "backend": "checkout-v1"},
        "canary": {"version": version, "backend": "checkout-v2"},
    }
    people = {"sre": ["ana@example.org", "lead@example.org"]}
    spec = desk.write(steps=STEPS, policy={"look": "1s"}, people=people, arms=arms)
    started = await desk.type("start", spec, "--by", "ci")
    assert started.code == 0, started.err


async def gated(desk: Desk) -> RolloutStatus:
    return await desk.until(lambda status: status.phase is Phase.GATED)


async def test_approve_and_roll_back_by_button_signed_and_told(
    desk: Desk, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await signing(desk, monkeypatch)
    await start(desk)
    await gated(desk)
    await office.open(reach=desk.coalmine, key=key, every=0.2, refresh=0.5)
    root = await office.button("approve")
    old = root.buttons["rollout:approve"]
    # Cy is somebody, but neither of the gate's people nor of its group.
    assert "cy@example.org may not approve gate 'go'" in await office.press("approve", CY)
    # Bo is not named in the spec, but Slack's user group says that he is of sre, and the app signs that.
    assert "gate 'go' is open" in await office.press("approve", BO, "looks fine")
    await desk.until(lambda status: status.canary_weight == 50)
    await office.until(lambda: "*approve* by bo@example.org" in root.shown)
    assert "(unsigned)" not in root.shown
    await office.tells(root, "“looks fine”")
    await office.until(lambda: "rollout:approve" not in root.buttons)
    # The button of before, pressed again: it opens nothing, and says why.
    heard = office.heard(ANA)
    await office.hands.interact(office.hands.pressed_payload(old, root, ANA))
    assert "gate 'go' does not wait any more" in await office.hands.told(ANA, heard)
    assert "rolling back now" in await office.press("rollback", ANA, "it is bad")
    await desk.until(lambda status: status.outcome is Outcome.ROLLED_BACK)
    await office.shows(root, "rolled back (human)")
    assert root.buttons == {}
    await office.tells(root, "it is bad")
    log = await desk.coalmine.decisions(desk.ref)
    approved = [entry for entry in log.entries if entry.kind == "command" and entry.data.get("verb") == "approve"]
    assert [(entry.by, entry.data["verified"]) for entry in approved] == [("bo@example.org", True)]
    # The rollout that closed has a button somewhere still; another one runs under its workflow's id.
    await start(desk, "1.2.0")
    await gated(desk)
    view_count = len(office.slack.workspace.views)
    await office.root(1)
    heard = office.heard(ANA)
    await office.hands.interact(office.hands.pressed_payload(old | {"action_id": "rollout:rollback"}, root, ANA))
    assert "this button belongs to test/checkout/1.1.0/1, which is over" in await office.hands.told(ANA, heard)
    assert len(office.slack.workspace.views) == view_count
    assert (await desk.coalmine.status(desk.ref)).phase is Phase.GATED


async def test_typed_words_reach_the_workflow_once_and_refusals_come_back(desk: Desk, office: Office) -> None:
    await start(desk)
    await gated(desk)
    await office.open(reach=desk.coalmine, every=0.2, refresh=0.5)
    body = office.hands.command_body("/rollout", "pause checkout", ANA)
    await office.hands.send(body)
    assert "paused: it will not advance" in await office.hands.told(ANA)
    await office.close()
    # The next process gets it again, and Temporal answers as it did the first time.
    await office.open(reach=desk.coalmine, every=0.2, refresh=0.5)
    await office.hands.send(body, retry=1)
    assert "paused: it will not advance" in await office.hands.told(ANA, 1)
    heard = office.heard(ANA)
    await office.hands.command("/rollout", "approve checkout", ANA)
    told = await office.hands.told(ANA, heard)
    assert "recorded as unverified" in told
    heard = office.heard(ANA)
    await office.hands.command("/rollout", "approve checkout --gate stop", ANA)
    assert "there is no gate 'stop'" in await office.hands.told(ANA, heard)
    # What is sent as a signal and cannot be used is listed by the workflow, and told in the thread.
    await desk.client.get_workflow_handle("canary/test/checkout").signal("aprove", {"by": "<!channel>"})
    root = await office.root()
    await office.tells(root, "*refused* aprove")
    assert "<!channel>" not in office.thread(root)
    assert office.thread(root).count("*pause* by ana@example.org") == 1


async def test_a_worker_that_is_away_is_told_and_a_rollback_is_not_lost(
    desk: Desk, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(desk)
    await gated(desk)
    await desk.retire()
    monkeypatch.setattr("coalmine.rollout_questions.CALL_WITHIN", timedelta(seconds=1))
    await office.open(reach=desk.coalmine, every=0.2, refresh=0.5)
    assert (await office.hands.command("/rollout", "pause checkout", ANA)).in_time
    # Temporal does answer: it is a worker that is missing.
    told = await office.hands.told(ANA)
    assert "it was not said: " in told
    assert "worker" in told
    heard = office.heard(ANA)
    assert (await office.hands.command("/rollout", "rollback checkout it is bad", ANA)).in_time
    assert "rollback is recorded and will be carried out by the next worker" in await office.hands.told(ANA, heard)
    monkeypatch.setattr("coalmine.rollout_questions.CALL_WITHIN", timedelta(seconds=10))
    await desk.serve()
    await desk.until(lambda status: status.outcome is Outcome.ROLLED_BACK)
