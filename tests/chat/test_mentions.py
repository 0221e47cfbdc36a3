"""Who is mentioned by e-mail: asked of Slack once, never waited for when it is away, and only whoever may speak."""

from __future__ import annotations

import logging

import pytest

from coalmine.chat.mentions import AT_ONCE, KEPT, METHOD, NOBODY_KEPT, QUIET, Mentions
from coalmine.chat.settings import ChatSettings
from coalmine.chat.web import Slack
from coalmine.gates import members_of
from coalmine.records import Phase
from coalmine.rollout import RolloutState
from coalmine.testing.slack import FakeSlack, member
from coalmine.testing.slack.workspace import TEAM
from tests.chat.conftest import ANA, BO, CHANNEL, Office
from tests.chat.rollouts import gated_spec, make_state

EMAIL_SETTINGS = {"people": {ANA: "ana@example.org", "bo@corp.example": "bo@example.org"}, "groups": {"sre": "S0SRE"},
                  "email_domains": ["corp.example"], "channels": [{"channel": CHANNEL}]}  # fmt: skip


def escalate(office: Office, state: RolloutState, text: str, *to: str) -> None:
    office.rollouts.note(state, "escalated", text, gate="none", attempt=1, to=list(to))


async def test_an_escalation_reaches_people_who_are_known_by_e_mail(office: Office) -> None:
    await office.open(settings=EMAIL_SETTINGS)
    state = office.rollouts.add(make_state(Phase.STEPPING))
    escalate(office, state, "waited 2h", "Bo@example.org", "cy@corp.example", "nobody@corp.example", "pager")
    root = await office.root()
    await office.tells(root, "waited 2h")
    assert office.thread(root).endswith(f"<@{BO}> <@U0CYR>")
    asked = office.slack.count(METHOD)
    assert asked == 3
    # Nor is Slack asked again about whoever it does not know.
    escalate(office, state, "waited 3h", "bo@example.org", "cy@corp.example", "nobody@corp.example")
    await office.tells(root, "waited 3h")
    assert office.thread(root).count(f"<@{BO}> <@U0CYR>") == 2
    assert office.slack.count(METHOD) == asked


async def test_a_group_that_slack_has_none_for_is_mentioned_by_its_members(office: Office) -> None:
    await office.open(settings=EMAIL_SETTINGS)
    spec = gated_spec(by=["sre", "leads"])
    spec.people["leads"] = ["bo@example.org", "cy@corp.example", "nobody@corp.example"]
    state = office.rollouts.add(make_state(Phase.GATED, spec))
    office.rollouts.note(state, "gate", "gate 'go' waits", gate="go", **members_of(spec, ["sre", "leads"]))
    root = await office.root()
    await office.tells(root, "gate 'go' waits")
    # The group that Slack has is mentioned as one: its members are not mentioned beside it.
    assert office.thread(root).endswith(f"<!subteam^S0SRE> <@{BO}> <@U0CYR>")
    escalated = {"gate": "go", "attempt": 1, "to": ["pager", "leads"], **members_of(spec, ["pager", "leads"])}
    office.rollouts.note(state, "escalated", "waited 2h", **escalated)
    await office.tells(root, "waited 2h")
    assert office.thread(root).splitlines()[-1] == f"<@{BO}> <@U0CYR>"
    # What an older workflow wrote says of no group who is in it.
    office.rollouts.note(state, "escalated", "waited 3h", gate="go", attempt=1, to=["leads"])
    await office.tells(root, "waited 3h")
    assert "<@" not in office.thread(root).splitlines()[-1]


async def test_a_message_does_not_wait_for_a_slack_that_does_not_tell_who_is_who(office: Office) -> None:
    office.slack.hang.add(METHOD)
    await office.open(settings=EMAIL_SETTINGS)
    state = office.rollouts.add(make_state(Phase.STEPPING))
    escalate(office, state, "waited 1h", "bo@example.org", "ana@example.org")
    root = await office.root()
    await office.tells(root, "waited 1h")
    assert office.thread(root).endswith(f"<@{ANA}>")
    # The next does not ask at all.
    escalate(office, state, "waited 2h", "cy@corp.example")
    await office.tells(root, "waited 2h")
    assert METHOD in office.slack.hang
    office.slack.hang.clear()
    await office.until(lambda: office.slack.count(METHOD))
    assert office.slack.count(METHOD) == 1


async def test_a_pause_of_slack_or_an_outage_costs_the_mention_and_not_the_message(office: Office) -> None:
    office.slack.limit(METHOD, 3_000)
    await office.open(settings=EMAIL_SETTINGS)
    state = office.rollouts.add(make_state(Phase.STEPPING))
    escalate(office, state, "waited 1h", "bo@example.org")
    root = await office.root()
    await office.tells(root, "waited 1h")
    assert f"<@{BO}>" not in office.thread(root)


async def test_a_missing_scope_is_told_once(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.slack.workspace.scopes -= {"users:read.email"}
    with caplog.at_level(logging.WARNING, "coalmine.chat"):
        await office.open(settings=EMAIL_SETTINGS)
        state = office.rollouts.add(make_state(Phase.STEPPING))
        escalate(office, state, "waited 1h", "bo@example.org", "cy@corp.example")
        root = await office.root()
        await office.tells(root, "waited 1h")
    told = [record.message for record in caplog.records if "users:read.email" in record.message]
    assert len(told) == 1
    assert "install the app anew" in told[0]


@pytest.fixture
def now() -> list[float]:
    return [1_000.0]


@pytest.fixture
def mentions(slack: FakeSlack, now: list[float]) -> Mentions:
    made = Mentions(ChatSettings.model_validate(EMAIL_SETTINGS), Slack(slack.token, slack.api), lambda: now[0])
    made.team = TEAM
    return made


async def test_nobody_is_mentioned_who_could_not_answer(slack: FakeSlack, mentions: Mentions) -> None:
    slack.workspace.users = {
        one["id"]: one
        for one in (
            member("U0GUEST", "guest@corp.example", is_restricted=True),
            member("U0GONE", "gone@corp.example", deleted=True),
            member("U0UNSURE", "unsure@corp.example", is_email_confirmed=False),
            member(ANA, "ana@corp.example"),
            member(BO, "bo@corp.example"),
        )
    }
    # Ana's address is that of somebody the settings know by another name: by that name they decide.
    names = [f"{name}@corp.example" for name in ("guest", "gone", "unsure", "ana", "bo")]
    assert await mentions.people(names) == {}
    assert await mentions.people(["bo@example.org", "ANA@example.org"]) == {
        "bo@example.org": BO,
        "ANA@example.org": ANA,
    }


async def test_answers_are_believed_for_a_while(slack: FakeSlack, mentions: Mentions, now: list[float]) -> None:
    names = ["bo@example.org", "new@corp.example"]
    assert await mentions.people(names) == {"bo@example.org": BO}
    slack.workspace.users["U0NEW"] = member("U0NEW", "new@corp.example")
    now[0] += NOBODY_KEPT - 1
    assert await mentions.people(names) == {"bo@example.org": BO}
    assert slack.count(METHOD) == 2
    now[0] += 2
    assert await mentions.people(names) == {"bo@example.org": BO, "new@corp.example": "U0NEW"}
    assert slack.count(METHOD) == 3
    now[0] += KEPT - NOBODY_KEPT
    await mentions.people(names)
    assert slack.count(METHOD) == 4


async def test_after_an_outage_slack_is_asked_again(slack: FakeSlack, mentions: Mentions, now: list[float]) -> None:
    slack.outage = "500"
    assert await mentions.people(["bo@example.org"]) == {}
    slack.outage = ""
    assert await mentions.people(["bo@example.org"]) == {}
    assert slack.count(METHOD) == 0
    now[0] += QUIET
    assert await mentions.people(["bo@example.org"]) == {"bo@example.org": BO}


async def test_for_one_message_so_many_are_asked_about_and_the_others_next_time(
    slack: FakeSlack, mentions: Mentions
) -> None:
    slack.workspace.users = {f"U0{n}X": member(f"U0{n}X", f"p{n}@corp.example") for n in range(AT_ONCE + 5)}
    names = [f"p{n}@corp.example" for n in range(AT_ONCE + 5)]
    assert len(await mentions.people(names)) == AT_ONCE
    assert len(await mentions.people(names)) == AT_ONCE + 5
