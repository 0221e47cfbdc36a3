"""Messages survive: Slack's limits, outages of hours, restarts, deleted messages, and posts that nobody confirmed."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from coalmine.chat import blocks
from coalmine.chat.outbox import Pace
from coalmine.records import MetricVerdict, Outcome, Phase
from tests.chat.conftest import ANA, CHANNEL, SECOND, Office
from tests.chat.rollouts import gated_spec, make_state

LINES = 25


async def test_one_message_is_kept_up_to_date_and_the_thread_tells_the_rest_in_order(office: Office) -> None:
    await office.open()
    state = office.rollouts.add(make_state(Phase.STEPPING))
    root = await office.root()
    for number in range(LINES):
        office.rollouts.note(state, "shifted", f"entry number {number}", weights={})
        state.canary_requests = number
    await office.until(lambda: f"entry number {LINES - 1}" in office.thread(root))
    told = office.thread(root)
    places = [told.index(f"entry number {number}") for number in range(LINES)]
    assert places == sorted(places)
    assert told.count("entry number 3 ") + told.count("entry number 3\n") == 1
    state.phase, state.outcome, state.reason = Phase.CLOSED, Outcome.ROLLED_BACK, "errors: 9 % against 1 %"
    office.rollouts.note(state, "roll_back", "errors: 9 % against 1 %")
    await office.until(lambda: "rolled back" in root.shown)
    assert root.buttons == {}
    assert "9 % against 1 %" in root.shown
    assert len(office.slack.workspace.roots()) == 1
    loud = await office.until(lambda: [one for one in office.slack.workspace.thread(root) if one.broadcast])
    assert "roll back" in loud[-1].text


async def test_slacks_limits_are_obeyed_and_only_the_newest_state_is_sent(office: Office) -> None:
    app = await office.open()
    states = [
        office.rollouts.add(make_state(Phase.STEPPING, gated_spec(service=f"service-{number}"))) for number in range(8)
    ]
    await office.until(lambda: len(office.slack.workspace.roots()) == 8)
    for round_ in range(20):
        for state in states:
            state.canary_requests = (round_ + 1) * 1_000
            state.looks = round_ + 1
        await asyncio.sleep(0.01)
    await office.until(lambda: all("20,000 canary" in root.shown for root in office.slack.workspace.roots()))
    assert app.outbox.waiting <= 8
    # 160 states, and far fewer updates; never more often than Slack allows.
    assert office.slack.count("chat.update") < 120
    posts = [call.at for call in office.slack.calls if call.method == "chat.postMessage"]
    assert all(later - earlier >= SECOND * 0.95 for earlier, later in pairwise(posts))


async def test_a_pause_that_slack_asks_for_is_kept(office: Office) -> None:
    office.slack.limit("chat.postMessage", 30, times=2)
    office.slack.limit("chat.update", 20)
    await office.open()
    state = office.rollouts.add(make_state(Phase.GATED))
    root = await office.root()
    assert office.slack.limited == ["chat.postMessage", "chat.postMessage"]
    state.paused = True
    await office.until(lambda: "paused" in root.shown)
    assert "chat.update" in office.slack.limited
    office.slack.limit("response_url", 1)
    office.slack.limit("views.open", 1)
    heard = office.heard(ANA)
    await office.hands.click(await office.button("resume"), "rollout:resume", ANA)
    assert "Slack limits views.open: again in 1 s" in await office.hands.told(ANA, heard)


async def test_an_outage_of_slack_loses_nothing_and_nothing_grows(office: Office) -> None:
    app = await office.open()
    states = [office.rollouts.add(make_state(Phase.STEPPING, gated_spec(service=f"s{number}"))) for number in range(3)]
    await office.until(lambda: len(office.slack.workspace.roots()) == 3 and not app.outbox.waiting)
    for outage in ("500", "cut"):
        office.slack.outage = outage
        for round_ in range(30):
            for state in states:
                office.rollouts.note(state, "shifted", f"{outage} {round_}.")
                state.looks += 1
            await asyncio.sleep(0.005)
        await office.until(lambda: app.outbox.failures >= 2)
        assert app.outbox.waiting <= 3
        office.slack.outage = ""
        for root in office.slack.workspace.roots():
            await office.tells(root, f"{outage} 29.")
    for root in office.slack.workspace.roots():
        told = office.thread(root)
        assert [told.count(f"cut {round_}.") for round_ in range(30)] == [1] * 30
        await office.shows(root, "60 looks")


async def test_a_restart_finds_its_messages_again(office: Office) -> None:
    await office.open()
    state = office.rollouts.add(make_state(Phase.GATED))
    root = await office.button("approve")
    await office.until(lambda: "admitted" in office.thread(root))
    await office.close()
    office.rollouts.note(state, "shifted", "while nobody looked")
    state.paused = True
    await office.open()
    await office.until(lambda: "while nobody looked" in office.thread(root))
    await office.until(lambda: "paused" in root.shown)
    assert len(office.slack.workspace.roots()) == 1
    assert office.thread(root).count("*admitted*") == 1
    # It closes while the app is down, and is told of all the same.
    await office.close()
    state.phase, state.outcome, state.reason = Phase.CLOSED, Outcome.PROMOTED, "no harm is shown"
    office.rollouts.note(state, "promoted", "no harm is shown")
    await office.open()
    await office.until(lambda: "no harm is shown" in root.shown)
    assert root.buttons == {}
    await office.until(lambda: next(iter(office.apps[0].memory.boards())).closed)
    assert len(office.slack.workspace.roots()) == 1


async def test_a_post_whose_answer_was_lost_is_not_posted_twice(office: Office) -> None:
    office.slack.workspace.scopes |= {"channels:history"}
    office.slack.outage = "take"
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    await office.root()
    office.slack.outage = ""
    root = await office.button("approve")
    await office.until(lambda: "admitted" in office.thread(root))
    assert len(office.slack.workspace.roots()) == 1
    assert office.slack.count("conversations.history") >= 1


async def test_without_the_right_to_read_such_a_post_comes_twice_and_all_goes_on(office: Office) -> None:
    office.slack.outage = "take"
    await office.open()
    state = office.rollouts.add(make_state(Phase.GATED))
    await office.root()
    office.slack.outage = ""
    await office.root(1)
    state.paused = True
    await office.until(lambda: any("paused" in root.shown for root in office.slack.workspace.roots()))


async def test_a_crash_between_post_and_answer_is_mended_by_the_next_process(office: Office) -> None:
    office.slack.workspace.scopes |= {"channels:history"}
    app = await office.open()
    state = office.rollouts.add(make_state(Phase.GATED))
    root = await office.button("approve")
    await office.until(lambda: not app.outbox.waiting)
    for kept in list(app.memory.boards()):
        kept.ts = ""
        app.memory.keep(kept)
    await office.close()
    await office.open()
    state.paused = True
    await office.until(lambda: "paused" in root.shown)
    assert len(office.slack.workspace.roots()) == 1


async def test_a_message_that_somebody_deleted_is_posted_anew(office: Office) -> None:
    await office.open()
    state = office.rollouts.add(make_state(Phase.GATED))
    await office.button("approve")
    await office.until(lambda: not office.apps[0].outbox.waiting)
    office.slack.workspace.messages.clear()
    state.paused = True
    root = await office.root()
    await office.until(lambda: "paused" in root.shown)


async def test_a_channel_without_the_app_holds_nobody_else_back(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "coalmine.chat")
    office.slack.workspace.uninvited = {"C0LONELY"}
    channels = [{"channel": "C0LONELY", "service": service} for service in ("lonely", "alone")]
    await office.open(settings={"channels": [*channels, {"channel": CHANNEL}]})
    for service in ("lonely", "alone"):
        office.rollouts.add(make_state(Phase.GATED, gated_spec(service=service)))
    state = office.rollouts.add(make_state(Phase.GATED))
    assert (await office.root()).channel == CHANNEL
    await office.until(lambda: sum(call.args.get("channel") == "C0LONELY" for call in office.slack.calls) >= 4)
    # Once it is invited, nothing is missing.
    office.slack.workspace.uninvited = set()
    office.slack.workspace.channels.add("C0LONELY")
    for number in (1, 2):
        root = await office.root(number)
        assert root.channel == "C0LONELY"
        await office.until(lambda root=root: "admitted" in office.thread(root))  # type: ignore[misc]
    assert state.order is None
    # What is wrong is told once, for all of the channel; and that it is over.
    told = [one.getMessage() for one in caplog.records if "C0LONELY" in one.getMessage()]
    assert told == [
        "nothing is sent to C0LONELY: Slack refused chat.postMessage: not_in_channel: invite the app to that channel, "
        "or name another one; it is tried again",
        "C0LONELY takes messages again",
    ]


async def test_only_rollouts_that_have_a_channel_are_shown_and_none_of_long_ago(office: Office) -> None:
    office.rollouts.add(make_state(Phase.CLOSED, gated_spec(service="old")))
    await asyncio.sleep(0.01)
    await office.open(settings={"channels": [{"channel": CHANNEL, "environment": "test"}]})
    office.rollouts.add(make_state(Phase.GATED, gated_spec(service="elsewhere", environment="staging")))
    office.rollouts.add(make_state(Phase.GATED, gated_spec(service="here")))
    await office.root()
    blocked = make_state(Phase.CLOSED, gated_spec(service="blocked"))
    blocked.outcome, blocked.rollout_id, blocked.reason = Outcome.BLOCKED, "", "frozen"
    office.rollouts.add(blocked)
    await office.root(1)
    shown = "\n".join(root.shown for root in office.slack.workspace.roots())
    assert "here" in shown
    assert "frozen" in shown
    assert "elsewhere" not in shown
    assert "old" not in shown


async def test_few_questions_are_asked_of_rollouts_that_do_not_change(office: Office) -> None:
    await office.open(every=0.02, refresh=3_600.0)
    office.rollouts.add(make_state(Phase.STEPPING))
    await office.root()
    await office.until(lambda: not office.apps[0].outbox.waiting)
    asked, lists = office.rollouts.questions, office.rollouts.lists
    await office.until(lambda: office.rollouts.lists >= lists + 10)
    assert office.rollouts.questions == asked


async def test_mentions_come_once_with_gate_reminder_and_escalation(office: Office) -> None:
    await office.open(settings={"people": {ANA: "ana@example.org", "U0LEAD": "lead@example.org"}})
    state = office.rollouts.add(make_state(Phase.GATED))
    office.rollouts.note(state, "gate", "gate 'go' waits for 1 of sre", gate="go")
    office.rollouts.note(state, "reminded", "Gate 'go' waits. It has waited 1h", gate="go", attempt=1, to=[])
    office.rollouts.note(
        state,
        "escalated",
        "Gate 'go' waits. It has waited 2h",
        gate="go",
        attempt=1,
        to=["sre", "lead@example.org", "pager"],
    )
    root = await office.root()
    await office.until(lambda: "waited 2h" in office.thread(root))
    told = office.thread(root)
    assert told.count("<!subteam^S0SRE>") == 3
    assert told.count("<@U0LEAD>") == 1
    escalation = next(one for one in office.slack.workspace.thread(root) if "waited 2h" in one.text)
    assert escalation.broadcast
    await office.close()
    await office.open()
    state.paused = True
    await office.until(lambda: "paused" in root.shown)
    assert office.thread(root).count("<!subteam^S0SRE>") == 3


async def test_nobodys_words_mention_a_channel_or_hide_a_link(office: Office) -> None:
    evil = "<!channel> <https://evil.example|fine> & *bold* `code` \u202eevil"
    await office.open()
    state = office.rollouts.add(make_state(Phase.HELD))
    assert state.held is not None
    state.held.reason = evil
    state.verdicts = [MetricVerdict(verdict="fail", metric="<!here>", sentence=evil)]
    office.rollouts.note(state, "hold", evil, "<@U0ANA>")
    root = await office.root()
    assert "resumed" in await office.press("resume", ANA, evil)
    await office.until(lambda: "resume" in office.thread(root) and "resume" in root.shown)
    shown = "\n".join([*(one.text for one in office.slack.workspace.told), root.shown, office.thread(root)])
    for wrong in ("<!channel", "<!here", "<https://evil", "<@U0ANA", "\u202e", "*bold*", "`code`"):
        assert wrong not in shown, wrong
    assert "&lt;!channel&gt;" in shown


async def test_texts_beyond_slacks_limits_are_cut_and_say_so(office: Office) -> None:
    await office.open()
    state = office.rollouts.add(make_state(Phase.HELD))
    assert state.held is not None
    state.held.reason = "&" * 5_000
    state.unmet = ["<" * 3_000]
    state.verdicts = [MetricVerdict(verdict="fail", metric=f"m{number}", sentence="&" * 900) for number in range(40)]
    office.rollouts.note(state, "hold", "&" * 9_000)
    root = await office.root()
    await office.until(lambda: "hold" in office.thread(root))
    assert "(cut)" in root.shown
    assert "and 28 more" in root.shown or "(cut)" in root.shown
    assert office.slack.faults == []


@pytest.fixture
def refused_when_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a rollout that is paused are such as Slack refuses."""
    drawn = blocks.message

    def message(status: Any, *rest: Any) -> list[dict[str, Any]]:
        too_long = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}
        return [*drawn(status, *rest), *([too_long] if status.paused else [])]

    monkeypatch.setattr("coalmine.chat.board.blocks.message", message)


@pytest.mark.usefixtures("refused_when_paused")
async def test_what_slack_refuses_as_blocks_is_sent_as_text_until_there_is_something_else(office: Office) -> None:
    app = await office.open()
    state = make_state(Phase.GATED)
    state.paused = True
    office.rollouts.add(state)
    root = await office.root()
    await office.tells(root, "admitted")
    assert root.blocks == []
    assert root.text == blocks.summary(app.follower.open_statuses()[0])
    for _ in range(2):
        # Something else, which it takes: the buttons are back.
        state.paused = False
        await office.has_button(root, "approve")
        # An update that it refuses: what is shown is not what was so before.
        state.looks, state.paused = state.looks + 1, True
        await office.until(lambda: root.blocks == [])
        assert "⏸️" in root.text
    # Refused blocks are tried once, and so is what follows them.
    tried = len(office.slack.faults)
    assert tried == 3
    office.rollouts.note(state, "shifted", "something of the thread")
    await office.tells(root, "something of the thread")
    state.looks += 1
    await office.until(lambda: len(office.slack.faults) == tried + 1)
    state.paused = False
    await office.has_button(root, "approve")
    assert len(office.slack.workspace.roots()) == 1
    assert all("text has 3001 characters" in fault for fault in office.slack.faults)
    office.slack.faults.clear()


@pytest.mark.usefixtures("refused_when_paused")
async def test_a_new_message_in_place_of_a_deleted_one_is_tried_as_blocks(office: Office) -> None:
    await office.open()
    state = make_state(Phase.GATED)
    state.paused = True
    office.rollouts.add(state)
    await office.tells(await office.root(), "admitted")
    office.slack.workspace.messages.clear()
    office.rollouts.note(state, "shifted", "something of the thread")
    await office.tells(await office.root(), "something of the thread")
    assert len(office.slack.faults) == 2
    assert "⏸️" in office.slack.workspace.roots()[0].text
    office.slack.faults.clear()


async def test_an_app_at_the_pace_of_slack_is_never_limited(office: Office) -> None:
    await office.open(pace=Pace(post=1.5, update=1.5, second=0.1))
    office.slack.second = 0.1
    for number in range(4):
        office.rollouts.add(make_state(Phase.GATED, gated_spec(service=f"s{number}")))
    await office.until(lambda: len(office.slack.workspace.messages) >= 8)
    assert office.slack.limited == []
