"""Socket mode: the same app, with nothing of ours to be reached from outside."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from coalmine.chat.app import ChatApp
from coalmine.records import Phase, Verb
from tests.chat.conftest import ANA, Office
from tests.chat.rollouts import make_state


async def test_commands_and_clicks_over_a_socket_are_acknowledged_and_act_once(office: Office) -> None:
    app: ChatApp = await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    await app.serve_socket()
    async with asyncio.timeout(30):
        await office.slack.connected.wait()
    body = dict(parse_qsl(office.hands.command_body("/rollout", "pause checkout", ANA)))
    for retry in range(3):
        assert (await office.slack.push("slash_commands", body, retry))["envelope_id"]
    assert "paused" in await office.hands.told(ANA)
    root = await office.button("approve")
    click = office.hands.click_payload(root, "rollout:approve", ANA)
    await office.slack.push("interactive", click)
    view = await office.hands.opened(0)
    await office.slack.push("interactive", office.hands.submit_payload(view, ANA, "fine"))
    assert "gate 'go' is open" in await office.hands.told(ANA, 1)
    assert [said.verb for said in office.rollouts.said] == [Verb.PAUSE, Verb.APPROVE]
