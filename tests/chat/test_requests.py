"""What arrives: forged, replayed, sent again, clicked twice, too late, and while Temporal is down."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from coalmine.chat.app import ChatApp, Secrets
from coalmine.chat.reach import Reach
from coalmine.chat.settings import ChatSettings
from coalmine.client import RolloutRef
from coalmine.errors import InputError, RefusedError, TemporalUnavailable
from coalmine.executions import paused_sentence
from coalmine.records import CommandReceipt, Phase, Verb
from coalmine.testing.slack.hands import signature
from tests.chat.conftest import ANA, BO, CHANNEL, SETTINGS, Office
from tests.chat.rollouts import DOWN, MemoryRollouts, make_state


async def test_a_forged_request_does_nothing(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    body = office.hands.command_body("/rollout", "rollback checkout", ANA)
    now = str(int(time.time()))
    right = signature(office.slack.signing_secret, now, body)
    forgeries: list[dict[str, Any]] = [
        {"secret": "another secret"},
        {"signed": "v0=" + "0" * 64},
        {"signed": ""},
        {"signed": right.upper(), "stamp": now},
        {"signed": right, "stamp": str(int(now) + 1)},
        {"stamp": "now"},
        {"stamp": ""},
        {"stamp": "-1"},
        {"stamp": "٣" * 10},
    ]
    for how in forgeries:
        assert (await office.hands.send(body, **how)).status == 401, how
    changed = body.replace("rollback", "promote+")
    assert (await office.hands.send(changed, signed=right, stamp=now)).status == 401
    assert office.rollouts.said == []
    assert office.slack.workspace.told == []


async def test_a_request_replayed_is_said_once_and_an_old_one_never(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    old = str(int(time.time()) - 301)
    body = office.hands.command_body("/rollout", "pause checkout", ANA)
    assert (await office.hands.send(body, stamp=old)).status == 401
    now = str(int(time.time()))
    # Captured on the way and sent again, while its signature still counts.
    for _ in range(3):
        assert (await office.hands.send(body, stamp=now)).status == 200
    assert "paused" in await office.hands.told(ANA)
    await asyncio.sleep(0.1)
    assert [said.verb for said in office.rollouts.said] == [Verb.PAUSE]
    assert office.heard(ANA) == 1


async def test_what_slack_sends_again_acts_once(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    office.rollouts.hang = asyncio.Event()
    body = office.hands.command_body("/rollout", "pause checkout", ANA)
    assert (await office.hands.send(body)).in_time
    for retry in (1, 2, 3):
        # Each with a stamp and signature of its own.
        assert (await office.hands.send(body, stamp=str(int(time.time()) - retry), retry=retry)).in_time
    office.rollouts.hang.set()
    assert "paused" in await office.hands.told(ANA)
    root = await office.button("approve")
    click = office.hands.click_payload(root, "rollout:approve", ANA)
    for retry in range(3):
        assert (await office.hands.interact(click, retry=retry)).in_time
    view = await office.hands.opened(0)
    answer = office.hands.submit_payload(view, ANA)
    for retry in range(3):
        assert (await office.hands.interact(answer, retry=retry)).in_time
    assert "gate 'go' is open" in await office.hands.told(ANA, 1)
    assert [said.verb for said in office.rollouts.said] == [Verb.PAUSE, Verb.APPROVE]
    assert len(office.slack.workspace.views) == 1
    assert office.heard(ANA) == 2


async def test_a_word_said_again_by_the_next_process_is_said_once(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    body = office.hands.command_body("/rollout", "pause checkout", ANA)
    await office.hands.send(body)
    first = await office.hands.told(ANA)
    await office.close()
    await office.open()
    await office.hands.send(body, retry=1)
    # It gets the first answer: Temporal knows the update's id.
    assert await office.hands.told(ANA, 1) == first
    assert len(office.rollouts.said) == 1


async def test_a_double_click_acts_once(office: Office) -> None:
    await office.open()
    state = office.rollouts.add(make_state(Phase.GATED))
    root = await office.button("rollback")
    clicks = [office.hands.click(root, "rollout:rollback", ANA) for _ in range(2)]
    assert all(answer.in_time for answer in await asyncio.gather(*clicks))
    view = await office.hands.opened(0)
    # Two dialogs may be open all the same, on two devices: both are answered at once.
    twin = {**view, "id": "V0TWIN"}
    await asyncio.gather(office.hands.submit(view, ANA, "bad"), office.hands.submit(twin, ANA, "bad"))
    await office.until(lambda: office.heard(ANA) == 2)
    told = [one.text for one in office.slack.workspace.told]
    assert sum("rolling back now" in text for text in told) == 1
    assert sum("you said rollback a moment ago" in text for text in told) == 1
    assert [said.verb for said in office.rollouts.said] == [Verb.ROLLBACK]
    assert len(office.slack.workspace.views) == 1
    assert state.order is not None


async def test_what_was_undone_in_between_is_no_second_click(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.STEPPING))
    for verb in ("pause", "resume", "pause"):
        assert "a moment ago" not in await office.press(verb, ANA)
    assert [said.verb for said in office.rollouts.said] == [Verb.PAUSE, Verb.RESUME, Verb.PAUSE]
    # Nothing was said since: this one is the same again.
    root = office.slack.workspace.roots()[0]
    paused = office.slack.workspace.views[-1]
    heard = office.heard(ANA)
    await office.hands.submit({**paused, "id": "V0TWIN"}, ANA)
    assert "you said pause a moment ago" in await office.hands.told(ANA, heard)
    assert "rollout:resume" in root.buttons


@dataclass
class GoingOn(MemoryRollouts):
    """Each word comes too late for the run it was meant for: the rollout went on in the next, so many times."""

    times: int = 0

    async def send(self, ref: RolloutRef, verb: Verb, **given: Any) -> CommandReceipt:
        state = self._state(RolloutRef(ref.workflow_id))
        if self.times:
            self.times -= 1
            state.run_id += "+"
        if ref.run_id != state.run_id:
            raise RefusedError("that run is over")
        return await super().send(ref, verb, **given)


@pytest.mark.parametrize(("times", "heard"), [(1, "paused"), (2, "paused"), (3, "that run is over")])
async def test_a_rollout_that_went_on_in_its_next_run_is_told_again(office: Office, times: int, heard: str) -> None:
    rollouts = GoingOn(times=times)
    await office.open(rollouts)
    rollouts.add(make_state(Phase.STEPPING))
    await office.button("pause")
    await office.hands.command("/rollout", "pause checkout", ANA)
    assert heard in await office.hands.told(ANA)
    assert len(rollouts.said) == (times < 3)


async def test_two_people_at_once_are_both_heard(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    told = await asyncio.gather(office.press("approve", ANA), office.press("pause", BO))
    assert "gate 'go' is open" in told[0]
    assert "paused" in told[1]


async def test_a_stale_button_opens_nothing_and_says_why(office: Office) -> None:
    await office.open()
    state = office.rollouts.add(make_state(Phase.GATED))
    root = await office.button("approve")
    old = dict(root.buttons)

    async def press(verb: str) -> str:
        heard = office.heard(ANA)
        await office.hands.interact(office.hands.pressed_payload(old[f"rollout:{verb}"], root, ANA))
        return await office.hands.told(ANA, heard)

    # The gate asks for the second time.
    state.gates[0].attempt = 2
    await office.until(lambda: '"go", 2' in root.buttons["rollout:approve"]["value"])
    assert "gate 'go' is at attempt 2, and this button is of attempt 1: use the new one" in await press("approve")
    # It was opened meanwhile.
    state.phase, state.gates[0].waiting_since, state.step = Phase.STEPPING, None, 1
    await office.until(lambda: "rollout:approve" not in root.buttons)
    assert "gate 'go' does not wait any more: the rollout is stepping" in await press("approve")
    assert "gate 'go' does not wait any more" in await press("reject")
    # Another rollout runs under the same workflow's id: it is not the one to roll back.
    following = office.rollouts.add(make_state(Phase.STEPPING, number=2))
    await office.root(1)
    why = "this button belongs to test/checkout/1.1.0/1, which is over: test/checkout/1.1.0/2 runs there now"
    assert why in await press("rollback")
    assert why in await press("promote")
    # It closed.
    following.phase = Phase.CLOSED
    office.rollouts.states.clear()
    office.rollouts.earlier.append(following)
    assert office.slack.workspace.views == []
    assert office.rollouts.said == []


async def test_a_dialog_answered_too_late_is_refused(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.STEPPING))
    root = await office.button("rollback")
    await office.hands.click(root, "rollout:rollback", ANA)
    view = await office.hands.opened(0)
    office.rollouts.add(make_state(Phase.STEPPING, number=2))
    await office.hands.submit(view, ANA, "bad")
    assert "this button belongs to test/checkout/1.1.0/1, which is over" in await office.hands.told(ANA)
    assert office.rollouts.said == []


async def test_a_click_right_after_its_dialog_was_answered_is_heard(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    root = await office.button("approve")
    click = root.buttons["rollout:approve"]
    assert (await office.hands.click(root, "rollout:approve", ANA)).in_time
    view = await office.hands.opened(0)
    assert "gate 'go' is open" in await office.press("approve", BO)
    await office.hands.submit(view, ANA)
    assert "gate 'go' does not wait any more" in await office.hands.told(ANA)
    # Within the two seconds in which it would be the same click as the one before.
    assert (await office.hands.interact(office.hands.pressed_payload(click, root, ANA))).in_time
    await office.until(lambda: office.heard(ANA) == 2 or len(office.slack.workspace.views) == 3)


async def test_a_promotion_without_a_reason_is_kept_open(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.STEPPING))
    root = await office.button("promote")
    await office.hands.click(root, "rollout:promote", ANA)
    view = await office.hands.opened(0)
    answer = await office.hands.submit(view, ANA, "   ")
    assert json.loads(answer.text)["errors"]["reason"].startswith("promote overrides steps")
    assert office.rollouts.said == []
    assert (await office.hands.submit(view, ANA, "we must")).text == ""
    assert "promoting to 100 %" in await office.hands.told(ANA)


async def test_temporal_down_is_told_to_whoever_asked(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    root = await office.button("approve")
    office.rollouts.down = True
    for words in ("status checkout", "list", "approve checkout", "rollback checkout"):
        heard = office.heard(ANA)
        assert (await office.hands.command("/rollout", words, ANA)).in_time
        told = await office.hands.told(ANA, heard)
        assert f"it was not said: {DOWN}" in told
    # A button still opens its dialog: what it is checked by is what was known last.
    heard = office.heard(ANA)
    assert (await office.hands.click(root, "rollout:approve", ANA)).in_time
    view = await office.hands.opened(0)
    assert (await office.hands.submit(view, ANA)).in_time
    assert f"it was not said: {DOWN}" in await office.hands.told(ANA, heard)
    # And once it is back, the same dialog may be answered again, and the button works.
    office.rollouts.down = False
    assert "gate 'go' is open" in await office.press("approve", BO)


async def test_a_rollout_that_is_paused_in_temporal_is_not_told_as_a_temporal_that_is_away(office: Office) -> None:
    await office.open()
    state = office.rollouts.add(make_state(Phase.GATED))
    why = paused_sentence(state.workflow_id, "coalmine")
    office.rollouts.broken[state.workflow_id] = TemporalUnavailable(why)
    await office.hands.command("/rollout", "approve checkout", ANA)
    told = await office.hands.told(ANA)
    assert told == f"⚠️ /rollout approve: it was not said: {why}"
    assert office.rollouts.said == []


async def test_a_temporal_that_never_answers_delays_no_acknowledgement(office: Office) -> None:
    app = await office.open()
    office.rollouts.hang = asyncio.Event()
    answers = await asyncio.gather(
        *(office.hands.command("/rollout", "approve checkout", user) for user in (ANA, BO) for _ in range(20))
    )
    assert all(answer.in_time for answer in answers)
    assert office.slack.workspace.told == []
    assert len(app._tasks) == 40
    office.rollouts.down = True
    office.rollouts.hang.set()
    await office.until(lambda: len(office.slack.workspace.told) == 40)


async def test_whoever_waits_for_a_connection_hears_what_came_of_the_one_try() -> None:
    tries: list[asyncio.Event] = []

    async def connect() -> MemoryRollouts:
        tries.append(asyncio.Event())
        await tries[-1].wait()
        if len(tries) == 1:
            raise TemporalUnavailable(DOWN)
        return MemoryRollouts()

    reach = Reach(connect)

    async def tried(number: int) -> None:
        while len(tries) < number:
            await asyncio.sleep(0)

    waiting = [asyncio.create_task(reach()) for _ in range(5)]
    await tried(1)
    waiting[0].cancel()
    tries[0].set()
    heard = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in heard[1:]] == [TemporalUnavailable] * 4
    assert len(tries) == 1
    again = asyncio.create_task(reach())
    await tried(2)
    tries[1].set()
    assert await again is await reach()
    assert len(tries) == 2


async def test_a_flood_is_turned_away_and_told_so(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coalmine.chat.app.AT_WORK", 5)
    await office.open()
    office.rollouts.hang = asyncio.Event()
    for _ in range(5):
        await office.hands.command("/rollout", "status checkout", ANA)
    assert "busy with too many requests" in (await office.hands.command("/rollout", "status checkout", ANA)).text
    office.rollouts.hang.set()


async def test_a_click_too_many_is_turned_away_in_words(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coalmine.chat.app.AT_WORK", 3)
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    root = await office.button("approve")
    office.rollouts.hang = asyncio.Event()
    for number in range(3):
        await office.hands.command("/rollout", f"status checkout-{number}", BO)
    click = office.hands.click_payload(root, "rollout:approve", ANA)
    for retry in range(2):
        answered = await office.hands.interact(click, retry=retry)
        assert (answered.status, answered.in_time) == (200, True)
    assert "busy with too many requests: nothing was done" in await office.hands.told(ANA)
    assert (office.heard(ANA), office.slack.workspace.views) == (1, [])
    office.rollouts.hang.set()
    await office.until(lambda: office.heard(BO) == 3)
    # There is room again, and the next click is not taken for the one that was turned away.
    assert "gate 'go' is open" in await office.press("approve", ANA)


async def test_a_click_before_anything_is_known_asks_temporal_a_moment(office: Office) -> None:
    await office.open()
    state = office.rollouts.add(make_state(Phase.GATED))
    root = await office.button("approve")
    await office.close()
    state.gates[0].attempt = 2
    await office.open(every=3_600)
    office.apps[0].follower._runs.clear()
    await office.hands.click(root, "rollout:approve", ANA)
    assert "is at attempt 2, and this button is of attempt 1" in await office.hands.told(ANA)
    office.rollouts.hang = asyncio.Event()
    office.apps[0].follower._runs.clear()
    await office.hands.click(root, "rollout:rollback", ANA)
    await office.hands.opened(0)
    office.rollouts.hang.set()


async def test_a_slack_that_hangs_delays_neither_acknowledgement_nor_dialog(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    root = await office.button("approve")
    office.slack.hang = {"users.info"}
    # Slack does not tell who it is: the dialog opens all the same while its trigger counts, and is checked later.
    assert (await office.hands.click(root, "rollout:approve", ANA)).in_time
    view = await office.hands.opened(0)
    assert (await office.hands.submit(view, ANA)).in_time
    assert office.rollouts.said == []
    office.slack.hang.clear()
    assert "gate 'go' is open" in await office.hands.told(ANA)


async def test_a_token_that_slack_does_not_take_is_told_by_its_name(office: Office) -> None:
    office.slack.token = "xoxb-another"
    app = ChatApp(
        ChatSettings.model_validate(SETTINGS),
        Secrets("xoxb-old", office.slack.signing_secret),
        Reach(office.rollouts._ready),  # type: ignore[arg-type]
        office.folder / "chat.sqlite",
        api=office.slack.api,
    )
    with pytest.raises(InputError, match=r"SLACK_BOT_TOKEN: Slack does not take it .*invalid_auth"):
        await app.begin()
    await app.end()


async def test_another_workspace_is_not_heard(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    await office.hands.command("/rollout", "rollback checkout", ANA, team="T0OTHER")
    assert "this app belongs to another workspace" in await office.hands.told(ANA)
    assert office.rollouts.said == []


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "block_actions", "actions": [{"action_id": "rollout:approve", "value": "no JSON"}]},
        {
            "type": "block_actions",
            "actions": [{"action_id": "rollout:approve", "value": '["canary/a/b", "", null, null]'}],
        },
        {"type": "block_actions", "actions": [{"action_id": "rollout:approve"}]},
        {"type": "block_actions", "actions": [{"action_id": "rollout:rollback", "value": "[1, 2, 3, 4]"}]},
        {
            "type": "view_submission",
            "view": {"type": "modal", "id": "V1", "callback_id": "rollout:rollback", "private_metadata": "{}"},
        },
        {"type": "view_submission", "view": {"type": "modal", "id": "V1", "callback_id": "rollout:rollback"}},
    ],
)
async def test_an_odd_payload_is_answered_and_does_nothing(payload: dict[str, object], office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    common = {"user": {"id": ANA}, "team": {"id": "T0COALMINE"}, "channel": {"id": CHANNEL}, "trigger_id": "1.2.3"}
    actions = payload.get("actions")
    filled = {**payload, **common}
    if isinstance(actions, list):
        filled["actions"] = [{"type": "button", "block_id": "b", **one} for one in actions]
    assert (await office.hands.interact(filled)).status == 200
    await office.until(lambda: not office.apps[0]._tasks)
    assert office.rollouts.said == []
    assert office.slack.workspace.views == []


@pytest.mark.parametrize("verb", ["launch", "extend", ""])
async def test_a_button_that_only_another_version_has_is_told_so(verb: str, office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    root = await office.button("approve")
    assert (await office.hands.click(root, "rollout:approve", BO)).in_time
    view = await office.hands.opened(0)
    other = {**root.buttons["rollout:approve"], "action_id": f"rollout:{verb}"}
    answers = [
        await office.hands.interact(office.hands.pressed_payload(other, root, ANA)),
        await office.hands.submit({**view, "callback_id": f"rollout:{verb}"}, ANA),
    ]
    assert [answer.status for answer in answers] == [200, 200]
    await office.until(lambda: len(office.slack.workspace.told) == 2)
    told = [one.text for one in office.slack.workspace.told]
    assert all("there is no such button in this version of the app, use the command" in text for text in told), told
    assert office.rollouts.said == []
    assert len(office.slack.workspace.views) == 1


async def test_what_is_no_request_of_slack_is_refused(office: Office) -> None:
    await office.open()
    assert (await office.hands.send("payload=%7Bno json")).status in (400, 404, 500)
    assert (await office.hands.send(urlencode({"payload": "[]"}))).status in (400, 404, 500)
    assert (await office.hands.send("x" * 1_010_000)).status == 413
    assert (await office.hands.command("/deploy", "rollback checkout", ANA)).status == 404
    assert (await office.hands.command("/rollout", "help", ANA)).in_time
