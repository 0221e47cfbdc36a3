"""The digest of the day, through the app."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from coalmine.records import Outcome, Phase
from tests.chat.conftest import Office
from tests.chat.rollouts import gated_spec, make_state


async def test_the_digest_tells_what_closed_what_waits_and_who_went_past_the_rules(office: Office) -> None:
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
    tomorrow = datetime.combine(datetime.now(UTC).date() + timedelta(days=1), time(0, 0, 1), UTC)
    bad.closed_at = good.closed_at = datetime.now(UTC)
    assert await app.send_digest(tomorrow)
    assert not await app.send_digest(tomorrow + timedelta(hours=1))
    sent = [one for one in office.slack.workspace.messages if one.channel == "C0DIGEST"]
    assert len(sent) == 1
    assert "1 promoted, 1 rolled back, 1 open" in sent[0].text
    assert "*Waiting for people*" in sent[0].text
    assert "gate 'go' waits for 1 of sre" in sent[0].text
    assert "1 promoted past the rules" in sent[0].text
    assert sent[0].ts


async def test_what_went_past_the_rules_is_told_though_looks_came_after_it(office: Office) -> None:
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
    tomorrow = datetime.combine(datetime.now(UTC).date() + timedelta(days=1), time(0, 0, 1), UTC)
    assert await app.send_digest(tomorrow)
    [sent] = [one for one in office.slack.workspace.messages if one.channel == "C0DIGEST"]
    assert "*Past the rules*: 1 freezes overridden, 1 promoted past the rules" in sent.text
