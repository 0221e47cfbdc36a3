"""The digest of the day, through the app."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from coalmine.chat.app import ChatApp
from coalmine.chat.digest import SETTLED
from coalmine.chat.web import SlackBusy
from coalmine.errors import TemporalUnavailable
from coalmine.records import Outcome, Phase
from tests.chat.conftest import SECOND, Office
from tests.chat.rollouts import gated_spec, make_state


async def sent_at(app: ChatApp, hour: datetime) -> None:
    """Send it as the app does: again, where Slack asks for a pause since a process before this one has just posted."""
    async with asyncio.timeout(30):
        while True:
            try:
                assert await app.send_digest(hour)
                return
            except SlackBusy as busy:
                await asyncio.sleep(busy.seconds * SECOND)


async def test_the_digest_tells_what_closed_what_waits_and_who_went_past_the_rules(office: Office) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1, seconds=60)
    app = await office.open(settings={"digest": {"at": "00:00", "channel": "C0DIGEST"}})
    office.rollouts.add(make_state(Phase.GATED))
    bad = office.rollouts.add(make_state(Phase.CLOSED, gated_spec("cart")))
    office.rollouts.note(bad, "override", "promoted by bo: we must", "bo")
    good = make_state(Phase.CLOSED, gated_spec("search"))
    good.outcome = Outcome.PROMOTED
    office.rollouts.add(good)
    await office.until(lambda: len(app.follower.open_statuses()) == 1)
    # Of the first day there is none.
    assert not await app.send_digest(datetime.now(UTC))
    bad.closed_at = good.closed_at = datetime.now(UTC)
    assert await app.send_digest(tomorrow)
    assert not await app.send_digest(tomorrow + timedelta(seconds=1))
    sent = [one for one in office.slack.workspace.messages if one.channel == "C0DIGEST"]
    assert len(sent) == 1
    assert "1 promoted, 1 rolled back, 1 open" in sent[0].text
    assert "*Waiting for people*" in sent[0].text
    assert "gate 'go' waits for 1 of sre" in sent[0].text
    assert "1 promoted past the rules" in sent[0].text
    assert sent[0].ts


async def test_what_went_past_the_rules_is_told_though_looks_came_after_it(office: Office) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1, seconds=60)
    settings = {"digest": {"at": "00:00", "channel": "C0DIGEST"}}
    await office.open(settings=settings)
    frozen = office.rollouts.add(make_state(Phase.BAKING))
    office.rollouts.note(frozen, "freeze_overridden", "started during a freeze by bo", "bo")
    office.rollouts.note(frozen, "override", "promoted by bo: we must", "bo")
    await office.tells(await office.root(), "promoted by bo")
    # A workflow keeps its newest entries only, and each look is one.
    office.rollouts.note(frozen, "promoted", "the bake is over")
    del frozen.log[:-1]
    await office.tells(await office.root(), "the bake is over")
    # Nor does it matter that the app is another process by the time of the digest.
    await office.close()
    app = await office.open(settings=settings)
    await sent_at(app, tomorrow)
    [sent] = [one for one in office.slack.workspace.messages if one.channel == "C0DIGEST"]
    assert "*Past the rules*: 1 freezes overridden, 1 promoted past the rules" in sent.text


async def test_one_that_is_late_tells_all_since_the_last_and_the_next_tells_none_of_it_again(office: Office) -> None:
    now = datetime.now(UTC)
    settings = {"digest": {"at": "00:00", "channel": "C0DIGEST"}}
    app = await office.open(settings=settings)
    first = now + timedelta(days=1)
    await sent_at(app, first)
    await office.close()
    # The app is down at the hour of the next, and at that of the one after it.
    late = first + timedelta(days=2, hours=5)
    for service, ago in (("cart", timedelta(hours=52)), ("search", timedelta(hours=1)), ("pay", timedelta(seconds=5))):
        state = make_state(Phase.CLOSED, gated_spec(service))
        state.closed_at = late - ago
        office.rollouts.add(state)
        office.rollouts.note(state, "override", "promoted by bo: we must", "bo").at = late - ago
    app = await office.open(settings=settings)
    await sent_at(app, late)
    await sent_at(app, late + timedelta(days=1))
    _, sent, next_ = [one.text for one in office.slack.workspace.messages if one.channel == "C0DIGEST"]
    since = first - SETTLED
    assert f"*Rollouts from {since:%Y-%m-%d %H:%M} until {late:%Y-%m-%d}*: 2 rolled back, 0 open" in sent
    assert "cart" in sent
    assert "search" in sent
    assert "*Past the rules*: 2 promoted past the rules" in sent
    # What had just closed may not have been listed yet: the next one has it, and it alone.
    assert f"*Rollouts until {late + timedelta(days=1):%Y-%m-%d}*: 1 rolled back, 0 open" in next_
    assert "pay" in next_
    assert "*Past the rules*: 1 promoted past the rules" in next_


async def test_one_right_after_the_start_waits_until_the_rollouts_were_looked_at(office: Office) -> None:
    now = datetime.now(UTC)
    settings = {"digest": {"at": "00:00", "channel": "C0DIGEST"}}
    app = await office.open(settings=settings)
    await sent_at(app, now + timedelta(days=1))
    await office.close()
    late = now + timedelta(days=2, hours=5)
    open_ = office.rollouts.add(make_state(Phase.BAKING))
    office.rollouts.note(open_, "override", "promoted by bo: we must", "bo").at = late - timedelta(hours=8)
    app = await office.open(settings=settings)
    await sent_at(app, late)
    _, sent = [one.text for one in office.slack.workspace.messages if one.channel == "C0DIGEST"]
    assert "nothing closed, 1 open" in sent
    assert "*Past the rules*: 1 promoted past the rules" in sent


async def test_what_went_past_the_rules_and_is_heard_of_late_is_told_once_by_the_next(office: Office) -> None:
    first = datetime.now(UTC) + timedelta(days=1)
    settings = {"digest": {"at": "00:00", "channel": "C0DIGEST"}}
    app = await office.open(settings=settings)
    state = office.rollouts.add(make_state(Phase.BAKING))
    await office.tells(await office.root(), "admitted")
    # Its worker is being replaced at the hour of the digest: it cannot be asked.
    office.rollouts.broken[state.workflow_id] = TemporalUnavailable("no worker answers")
    entry = office.rollouts.note(state, "override", "promoted by bo: we must", "bo")
    entry.at = first - timedelta(hours=1)
    await sent_at(app, first)
    office.rollouts.broken.clear()
    await office.tells(await office.root(), "promoted by bo")
    for day in (1, 2):
        await sent_at(app, first + timedelta(days=day))
    sent = [one.text for one in office.slack.workspace.messages if one.channel == "C0DIGEST"]
    assert ["1 promoted past the rules" in one for one in sent] == [False, True, False]


async def test_what_closed_and_cannot_be_read_is_told_as_the_list_has_it(office: Office) -> None:
    now = datetime.now(UTC) + timedelta(days=1, seconds=60)
    app = await office.open(settings={"digest": {"at": "00:00", "channel": "C0DIGEST"}})
    for service, why in (("cart", TemporalUnavailable("no worker answers")), ("pay", ValueError("odd"))):
        state = office.rollouts.add(make_state(Phase.CLOSED, gated_spec(service)))
        state.closed_at = now - timedelta(hours=1)
        office.rollouts.broken[state.workflow_id] = why
    await sent_at(app, now)
    [sent] = [one.text for one in office.slack.workspace.messages if one.channel == "C0DIGEST"]
    assert "*: 2 rolled back, 0 open" in sent
    assert "cart 1.1.0 in test: rolled back" in sent
    assert "it cannot be read: no worker answers" in sent
    assert "it cannot be read (ValueError)" in sent


async def test_what_is_open_and_never_answered_is_told_as_the_list_has_it(office: Office) -> None:
    now = datetime.now(UTC) + timedelta(days=1, seconds=60)
    for phase, service in ((Phase.GATED, "cart"), (Phase.HELD, "pay"), (Phase.STEPPING, "search")):
        state = office.rollouts.add(make_state(phase, gated_spec(service)))
        office.rollouts.broken[state.workflow_id] = TemporalUnavailable("no worker answers")
    app = await office.open(settings={"digest": {"at": "00:00", "channel": "C0DIGEST"}})
    await sent_at(app, now)
    [sent] = [one.text for one in office.slack.workspace.messages if one.channel == "C0DIGEST"]
    assert "nothing closed, 3 open" in sent
    _, waiting = sent.split("*Waiting for people*")
    assert [line.rpartition(": ")[2] for line in waiting.splitlines() if line] == ["no worker answers"] * 2
    assert "search" not in waiting


@pytest.mark.parametrize(
    ("code", "mend"), [("not_in_channel", "invite the app"), ("channel_not_found", "write the id of a channel")]
)
async def test_one_that_slack_refuses_is_tried_ever_less_often_and_told_once(
    office: Office, caplog: pytest.LogCaptureFixture, code: str, mend: str
) -> None:
    caplog.set_level("INFO", "coalmine.chat")
    # Tries go on for hours of one day.
    now = (datetime.now(UTC) + timedelta(days=1)).replace(hour=12)
    app = await office.open(settings={"digest": {"at": "00:00", "channel": "C0DIGEST"}})
    for service in ("cart", "pay"):
        state = office.rollouts.add(make_state(Phase.CLOSED, gated_spec(service)))
        state.closed_at = now - timedelta(hours=1)
    channels = office.slack.workspace.channels
    if code == "not_in_channel":
        office.slack.workspace.uninvited.add("C0DIGEST")
    else:
        channels.remove("C0DIGEST")
    await office.until(lambda: len(office.slack.workspace.roots()) == 2)
    assert app.daily is not None
    before, pauses = office.rollouts.questions, list[float]()
    for _ in range(8):
        pauses.append(await app.daily.turn(now))
        now += timedelta(seconds=pauses[-1])
    assert pauses == [20, 40, 80, 160, 320, 600, 600, 600]
    # Each rollout that closed was asked when it was made, and not at each try.
    assert office.rollouts.questions - before == 4
    [told] = [one.getMessage() for one in caplog.records if "digest" in one.getMessage()]
    assert f"digest.channel: C0DIGEST: Slack refused chat.postMessage: {code}: {mend}" in told
    office.slack.workspace.uninvited.clear()
    channels.add("C0DIGEST")
    assert await app.daily.turn(now) == 20
    assert await app.daily.turn(now) == 20
    [sent] = [one.text for one in office.slack.workspace.messages if one.channel == "C0DIGEST"]
    assert "2 rolled back" in sent


async def test_one_that_slack_refused_for_long_is_made_anew(office: Office) -> None:
    # Tries go on for hours of one day.
    now = (datetime.now(UTC) + timedelta(days=1)).replace(hour=12)
    office.slack.workspace.uninvited.add("C0DIGEST")
    app = await office.open(settings={"digest": {"at": "00:00", "channel": "C0DIGEST"}})
    assert app.daily is not None
    await app.daily.turn(now)
    state = office.rollouts.add(make_state(Phase.CLOSED, gated_spec("cart")))
    state.closed_at = now + timedelta(hours=1)
    await app.daily.turn(now + timedelta(hours=2))
    office.slack.workspace.uninvited.clear()
    await app.daily.turn(now + timedelta(hours=2, minutes=10))
    [sent] = [one.text for one in office.slack.workspace.messages if one.channel == "C0DIGEST"]
    assert "1 rolled back" in sent
