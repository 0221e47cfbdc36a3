"""A pause that Slack asks for is of its method, whoever calls it: rollouts of all channels, answers, dialogs, digest.

That nothing came before a pause was over is what ``office`` checks after each test (``FakeSlack.early``).
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta

import pytest

from coalmine.chat.app import ChatApp
from coalmine.chat.web import SlackBusy
from coalmine.records import Phase
from tests.chat.conftest import ANA, BO, CHANNEL, CY, EVE, Office
from tests.chat.rollouts import gated_spec, make_state

PAUSE = 30


async def heard(office: Office, app: ChatApp, method: str) -> None:
    """Wait until the app has heard of a pause: a call that was under way before that is nobody's mistake."""
    await office.until(lambda: method in app.slack._paused)


async def test_the_rollouts_of_all_channels_wait(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    channels = [{"channel": "C0OTHER", "service": "other"}, {"channel": CHANNEL}]
    office.slack.limit("chat.postMessage", PAUSE)
    app = await office.open(settings={"channels": channels})
    states = [office.rollouts.add(make_state(Phase.GATED))]
    await heard(office, app, "chat.postMessage")
    # This one has never been refused, and its channel is another.
    states.append(office.rollouts.add(make_state(Phase.GATED, gated_spec("other"))))
    roots = [await office.root(number) for number in range(2)]
    for root in roots:
        await office.tells(root, "admitted")
    office.slack.limit("chat.update", PAUSE)
    states[0].paused = True
    await heard(office, app, "chat.update")
    states[1].paused = True
    for root in roots:
        await office.shows(root, "paused")
    assert office.slack.limited.count("chat.update") == 1
    # Who waits does so until it is over, and does not ask all the time whether it is.
    assert sum("Slack limits chat.update" in line for line in caplog.messages) <= 2


async def test_answers_wait_at_the_response_url_and_in_the_channel(office: Office) -> None:
    app = await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    office.slack.limit("response_url", PAUSE)
    await office.hands.command("/rollout", "status checkout", ANA)
    await heard(office, app, "response_url")
    # Somebody else's answer is held by the same pause.
    await office.hands.command("/rollout", "status checkout", BO)
    for user in (ANA, BO):
        assert "waiting at a gate" in await office.hands.told(user)
    assert office.slack.limited.count("response_url") == 1
    body = office.hands.command_body("/rollout", "status checkout", ANA)
    office.slack._responses.clear()
    office.slack.limit("chat.postEphemeral", PAUSE)
    await office.hands.send(body)
    assert "waiting at a gate" in await office.hands.told(ANA, 1)
    assert office.slack.limited.count("chat.postEphemeral") == 1


async def test_many_answers_go_one_by_one_after_a_pause_until_one_comes_through(office: Office) -> None:
    app = await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    pauses = 6
    office.slack.limit("response_url", PAUSE, times=pauses)
    await office.hands.command("/rollout", "status checkout", ANA)
    await heard(office, app, "response_url")
    for _ in range(12):
        await office.hands.command("/rollout", "status checkout", BO)
    for place in range(12):
        assert "waiting at a gate" in await office.hands.told(BO, place)
    assert "waiting at a gate" in await office.hands.told(ANA)
    # One call for each pause, and none of the others': ``early`` is looked at after the test.
    assert office.slack.limited.count("response_url") == pauses


async def test_a_shorter_pause_does_not_end_a_longer_one(office: Office) -> None:
    app = await office.open()
    slack = app.slack
    slack._noted("views.open", SlackBusy("views.open", 60))
    slack._noted("views.open", SlackBusy("views.open", 1))
    with pytest.raises(SlackBusy) as busy:
        slack._check_pause("views.open")
    assert busy.value.seconds > 50


async def test_dialogs_and_people_are_not_asked_for_before_it_is_over(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    root = await office.button("approve")
    for method, asks in (
        ("views.open", {who: office.hands.click(root, "rollout:approve", who) for who in (ANA, BO)}),
        ("users.info", {who: office.hands.command("/rollout", "status checkout", who) for who in (CY, EVE)}),
    ):
        office.slack.limit(method, 3_000)
        for user, ask in asks.items():
            await ask
            assert f"Slack limits {method}: again in " in await office.hands.told(user)
        assert office.slack.limited.count(method) == 1
    assert office.slack.workspace.views == []


async def test_the_digest_waits(office: Office) -> None:
    app = await office.open(settings={"digest": {"at": "00:00", "channel": "C0DIGEST"}})
    tomorrow = datetime.combine(datetime.now(UTC).date() + timedelta(days=1), time(0, 0, 1), UTC)
    office.slack.limit("chat.postMessage", PAUSE)
    with pytest.raises(SlackBusy):
        await app.send_digest(tomorrow)
    tries = 0
    async with asyncio.timeout(60):
        while not office.slack.workspace.messages:
            try:
                await app.send_digest(tomorrow)
            except SlackBusy:
                tries += 1
                await asyncio.sleep(0.01)
    assert tries
    assert office.slack.limited.count("chat.postMessage") == 1


async def test_beginning_waits(office: Office) -> None:
    office.slack.limit("auth.test", PAUSE)
    await office.open()
    assert office.slack.limited == ["auth.test"]


async def test_many_who_speak_at_once_ask_slack_once_who_they_are(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    await asyncio.gather(
        *(office.hands.command("/rollout", "status checkout", user) for user in (ANA, BO) for _ in range(30))
    )
    await office.until(lambda: len(office.slack.workspace.told) == 60)
    assert all("waiting at a gate" in one.text for one in office.slack.workspace.told)
    assert (office.slack.count("users.info"), office.slack.count("usergroups.users.list")) == (2, 1)
