"""The fake Slack keeps the limits it says it keeps: what Slack refuses, it refuses, and what Slack takes, it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from coalmine.testing.slack import FakeSlack, member, message_faults, view_faults
from coalmine.testing.slack.hands import ACK_WITHIN, TICK, Answer, Standstill, signature
from coalmine.testing.slack.methods import Methods
from coalmine.testing.slack.rates import POSTS_PER_MINUTE, Rates
from coalmine.testing.slack.workspace import Workspace
from tests.leaping_clock import run_leaping

CHANNEL = "C0ROLLOUTS"


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack(second=0.2) as slack:
        slack.workspace.channels = {CHANNEL, "C0OTHER"}
        slack.workspace.users = {"U0ANA": member("U0ANA", "ana@example.org")}
        slack.workspace.groups = {"S0SRE": ["U0ANA"]}
        yield slack


async def call(slack: FakeSlack, method: str, token: str = "", **args: Any) -> tuple[int, dict[str, Any], Any]:
    headers = {"Authorization": f"Bearer {token or slack.token}"}
    reads = method in ("users.info", "users.lookupByEmail", "usergroups.users.list", "conversations.history")
    how: dict[str, Any] = {"params": args} if reads else {"json": args}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{slack.api}{method}", headers=headers, **how) as answer,
    ):
        return answer.status, await answer.json(), answer.headers


async def error(slack: FakeSlack, method: str, token: str = "", **args: Any) -> str:
    _, answer, _ = await call(slack, method, token, **args)
    assert answer["ok"] is False, answer
    return str(answer["error"])


def text(content: str, kind: str = "mrkdwn") -> dict[str, Any]:
    return {"type": kind, "text": content}


def section(content: str) -> dict[str, Any]:
    return {"type": "section", "text": text(content)}


def button(label: str = "Go", **more: Any) -> dict[str, Any]:
    return {"type": "button", "action_id": "go", "text": text(label, "plain_text"), **more}


def actions(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "actions", "elements": list(elements)}


@pytest.mark.parametrize(
    "block",
    [
        section("x" * 3_000),
        {"type": "header", "text": text("x" * 150, "plain_text")},
        {"type": "section", "fields": [text("x" * 2_000)] * 6},
        {"type": "context", "elements": [text("x")] * 10},
        {"type": "divider"},
        actions(button("x" * 75, value="x" * 2_000, style="danger")),
        actions(*(button() | {"action_id": str(number)} for number in range(25))),
    ],
)
def test_what_slack_takes_is_taken(block: dict[str, Any]) -> None:
    assert message_faults("text", [block] * 1) == []


@pytest.mark.parametrize(
    ("blocks", "why"),
    [
        ([section("x")] * 51, "51 blocks, more than 50"),
        ([], "no list"),
        ([section("x" * 3_001)], "text has 3001 characters, more than 3000"),
        ([section("")], "text is empty"),
        ([{"type": "header", "text": text("x" * 151, "plain_text")}], "151 characters, more than 150"),
        ([{"type": "header", "text": text("x")}], "no plain_text object"),
        ([{"type": "section", "fields": [text("x")] * 11}], "11 elements, not 1 to 10"),
        ([{"type": "section", "fields": [text("x" * 2_001)]}], "2001 characters, more than 2000"),
        ([{"type": "section"}], "neither text nor fields"),
        ([{"type": "context", "elements": [text("x")] * 11}], "11 elements, not 1 to 10"),
        ([actions()], "0 elements, not 1 to 25"),
        ([actions(*(button() | {"action_id": str(number)} for number in range(26)))], "26 elements"),
        ([actions(button(), button())], "action_id is there twice"),
        ([actions(button("x" * 76))], "76 characters, more than 75"),
        ([actions(button(value="x" * 2_001))], "2001 characters, more than 2000"),
        ([actions(button(style="green"))], "style 'green'"),
        ([actions(button(confirm={"title": text("x" * 101, "plain_text")}))], "101 characters, more than 100"),
        ([{**section("x"), "block_id": "a"}, {**section("x"), "block_id": "a"}], "block_id is there twice"),
        ([{**section("x"), "block_id": "a" * 256}], "256 characters, more than 255"),
        ([{"type": "input"}], "does not belong here"),
        ([{"type": "video"}], "not known to this fake"),
        (["section"], "not known to this fake"),
        ([{"type": "actions", "elements": ["go"]}], "not known to this fake"),
        ([actions(button(confirm="sure?"))], "confirm is no object"),
        ([actions(button() | {"action_id": ["go"]})], "action_id is no text"),
        ([{**section("x"), "block_id": ["a"]}], "block_id is no text"),
    ],
)
def test_what_slack_refuses_in_a_message_is_refused(blocks: list[Any], why: str) -> None:
    assert any(why in fault for fault in message_faults("text", blocks)), message_faults("text", blocks)


def field(**changes: Any) -> dict[str, Any]:
    element = {"type": "plain_text_input", **changes}
    return {"type": "input", "label": text("Why", "plain_text"), "element": element}


def modal(**changes: Any) -> dict[str, Any]:
    title = text("Roll back", "plain_text")
    return {"type": "modal", "title": title, "submit": title, "blocks": [field()], **changes}


@pytest.mark.parametrize(
    ("view", "why"),
    [
        (modal(title=text("x" * 25, "plain_text")), "title has 25 characters, more than 24"),
        (modal(submit=None), "submit is missing"),
        (modal(private_metadata="x" * 3_001), "3001 characters, more than 3000"),
        (modal(callback_id="x" * 256), "256 characters"),
        (modal(blocks=[section("x")] * 101), "101 blocks, more than 100"),
        (modal(blocks=[field(max_length=3_001)]), "max_length is 3001, not 1 to 3000"),
        (modal(blocks=[field(max_length=0)]), "max_length is 0, not 1 to 3000"),
        (modal(blocks=[field(placeholder=text("x" * 151, "plain_text"))]), "placeholder has 151 characters"),
        (modal(type="home"), "no modal"),
        (None, "no modal"),
    ],
)
def test_what_slack_refuses_in_a_dialog_is_refused(view: Any, why: str) -> None:
    assert view_faults(modal()) == []
    assert any(why in fault for fault in view_faults(view))


async def test_tokens_scopes_and_channels_are_checked(slack: FakeSlack) -> None:
    assert await error(slack, "auth.test", "xoxb-other") == "invalid_auth"
    assert await error(slack, "apps.connections.open") == "invalid_auth"
    assert (await call(slack, "auth.test"))[1]["team_id"]
    assert await error(slack, "chat.postMessage", channel="C0NONE", text="x") == "channel_not_found"
    slack.workspace.uninvited = {"C0OTHER"}
    assert await error(slack, "chat.postMessage", channel="C0OTHER", text="x") == "not_in_channel"
    assert await error(slack, "chat.postMessage", channel=CHANNEL) in ("no_text", "ratelimited")
    assert await error(slack, "chat.update", channel=CHANNEL, ts="1.1", text="x") == "message_not_found"
    assert await error(slack, "users.info", user="U0NONE") == "user_not_found"
    assert await error(slack, "usergroups.users.list", usergroup="S0NONE") == "no_such_subteam"
    assert await error(slack, "chat.delete", channel=CHANNEL) == "unknown_method"
    slack.workspace.scopes -= {"users:read"}
    assert await error(slack, "users.info", user="U0ANA") == "missing_scope"


async def test_an_address_is_of_a_member_and_takes_a_scope_of_its_own(slack: FakeSlack) -> None:
    others = [
        member("U0GONE", "gone@example.org", deleted=True), member("U0BOT", "bot@example.org", is_bot=True),
        member("U0FAR", "far@example.org", team_id="T0OTHER"), member("U0NONE"),
        member("U0GUEST", "guest@example.org", is_restricted=True),
    ]  # fmt: skip
    slack.workspace.users |= {one["id"]: one for one in others}
    for address, user_id in (("Ana@Example.org", "U0ANA"), ("guest@example.org", "U0GUEST")):
        assert (await call(slack, "users.lookupByEmail", email=address))[1]["user"]["id"] == user_id
    for address in ("gone@example.org", "bot@example.org", "far@example.org", "nobody@example.org", ""):
        assert await error(slack, "users.lookupByEmail", email=address) == "users_not_found"
    # It reads: JSON is passed over.
    headers = {"Authorization": f"Bearer {slack.token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{slack.api}users.lookupByEmail", headers=headers, json={"email": "ana@example.org"}) as answer,
    ):
        assert (await answer.json())["error"] == "users_not_found"
    slack.workspace.scopes -= {"users:read.email"}
    _, refused, _ = await call(slack, "users.lookupByEmail", email="ana@example.org")
    assert (refused["error"], refused["needed"]) == ("missing_scope", "users:read.email")


async def test_one_message_a_second_and_channel_and_fifty_updates_a_minute(slack: FakeSlack) -> None:
    status, answer, _ = await call(slack, "chat.postMessage", channel=CHANNEL, text="one")
    assert (status, answer["ok"]) == (200, True)
    status, refused, headers = await call(slack, "chat.postMessage", channel=CHANNEL, text="two")
    assert (status, refused["error"], headers["Retry-After"]) == (429, "ratelimited", "1")
    assert (await call(slack, "chat.postMessage", channel="C0OTHER", text="elsewhere"))[0] == 200
    # A minute lasts twelve seconds here: all of these come within it.
    slack.second = 10.0
    seen = [(await call(slack, "chat.update", channel=CHANNEL, ts=answer["ts"], text=str(n)))[0] for n in range(52)]
    assert seen == [200] * 50 + [429] * 2
    assert slack.workspace.roots(CHANNEL)[0].text == "49"
    assert slack.limited.count("chat.update") == 2


async def test_a_pause_holds_for_every_call_of_its_method_and_early_ones_are_noted(slack: FakeSlack) -> None:
    slack.second = 60.0
    slack.limit("chat.postMessage", 30, times=2)
    for left in ("30", "30"):
        status, answer, headers = await call(slack, "chat.postMessage", channel=CHANNEL, text="x")
        assert (status, answer["error"], headers["Retry-After"]) == (429, "ratelimited", left)
    assert (await call(slack, "chat.postMessage", channel="C0OTHER", text="x"))[0] == 429
    assert [one.split(":")[0] for one in slack.early] == [f"chat.postMessage {CHANNEL}", "chat.postMessage C0OTHER"]
    assert slack.limited == ["chat.postMessage"] * 3
    # Other methods are not held, and an answer at a response_url is none of these.
    assert (await call(slack, "auth.test"))[0] == 200
    slack.limit("response_url", 30)
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.post(slack.response_url("U0ANA", CHANNEL), json={"text": "x"}) as refused:
                assert (refused.status, refused.headers["Retry-After"]) == (429, "30")
    assert slack.workspace.told == []
    assert len(slack.early) == 3


async def test_how_long_a_second_lasts_may_be_changed_at_any_time() -> None:
    async with FakeSlack(second=1e-9) as slack:
        slack.workspace.channels = {CHANNEL}
        for second, status in ((1e-9, 200), (1e-9, 200), (60.0, 429)):
            slack.second = second
            assert (await call(slack, "chat.postMessage", channel=CHANNEL, text="x"))[0] == status


def test_a_pause_ends_when_it_said_and_the_next_one_begins_after_it() -> None:
    async def ask() -> tuple[list[int], list[str]]:
        rates = Rates(lambda: 1.0, POSTS_PER_MINUTE)
        rates.force("views.open", 30, times=2)
        waits = [rates.wait("views.open", "")]
        for pause in (10.0, 19.5, 0.5, 29.9, 0.1):
            await asyncio.sleep(pause)
            waits.append(rates.wait("views.open", ""))
        return waits, rates.early

    waits, early = run_leaping(ask())
    assert waits == [30, 20, 1, 30, 1, 0]
    assert [one.split()[1] for one in early] == ["20", "0.5", "0.1"]


def test_a_limit_that_is_met_holds_as_one_that_is_forced() -> None:
    async def ask() -> tuple[list[int], list[str]]:
        rates = Rates(lambda: 1.0, POSTS_PER_MINUTE)
        waits = [rates.wait("usergroups.users.list", "") for _ in range(22)][19:]
        # One too many a second in one channel is that channel's affair.
        waits += [rates.wait("chat.postMessage", channel) for channel in ("C0A", "C0A", "C0A", "C0B")]
        await asyncio.sleep(1.0)
        return [*waits, rates.wait("chat.postMessage", "C0A")], rates.early

    waits, early = run_leaping(ask())
    assert waits == [0, 60, 60, 0, 1, 1, 0, 0]
    assert [one.split(":")[0] for one in early] == ["usergroups.users.list", "chat.postMessage C0A"]


@pytest.mark.parametrize(("after", "answer"), [(2.9, ""), (3.1, "expired_trigger_id")])
def test_a_trigger_is_good_for_three_seconds(after: float, answer: str) -> None:
    async def click() -> dict[str, Any]:
        methods = Methods(Workspace(), lambda: "http://127.0.0.1", [])
        trigger = methods.trigger()
        await asyncio.sleep(after)
        return methods.carry_out("views.open", {"trigger_id": trigger, "view": modal()})

    assert run_leaping(click()).get("error", "") == answer


async def test_a_trigger_opens_one_dialog_within_three_seconds(
    slack: FakeSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = slack.trigger()
    assert (await call(slack, "views.open", trigger_id=trigger, view=modal()))[1]["view"]["id"]
    assert await error(slack, "views.open", trigger_id=trigger, view=modal()) == "exchanged_trigger_id"
    assert await error(slack, "views.open", trigger_id="1.2.3", view=modal()) == "invalid_trigger_id"
    assert await error(slack, "views.open", trigger_id=slack.trigger(), view={}) == "invalid_arguments"
    monkeypatch.setattr("coalmine.testing.slack.methods.TRIGGER_LIFE", -1.0)
    assert await error(slack, "views.open", trigger_id=slack.trigger(), view=modal()) == "expired_trigger_id"


async def test_a_response_url_is_good_for_five_answers(slack: FakeSlack) -> None:
    url = slack.response_url("U0ANA", CHANNEL)
    async with aiohttp.ClientSession() as session:
        seen = []
        for number in range(6):
            async with session.post(url, json={"text": str(number)}) as answer:
                seen.append(answer.status)
    assert seen == [200] * 5 + [404]
    assert [one.text for one in slack.workspace.told] == ["0", "1", "2", "3", "4"]


async def test_metadata_is_told_to_who_asks_for_it(slack: FakeSlack) -> None:
    metadata = {"event_type": "coalmine_rollout", "event_payload": {"rollout": "a"}}
    await call(slack, "chat.postMessage", channel=CHANNEL, text="one", metadata=metadata)
    _, plain, _ = await call(slack, "conversations.history", channel=CHANNEL)
    _, full, _ = await call(slack, "conversations.history", channel=CHANNEL, include_all_metadata="1")
    assert "metadata" not in plain["messages"][0]
    assert full["messages"][0]["metadata"] == metadata


def test_the_signature_is_slacks() -> None:
    # The example of docs.slack.dev/authentication/verifying-requests-from-slack.
    body = (
        "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
        "foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhoo"
        "ks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629"
        "121.803a0bc887a14d10d2c447fce8b6703c"
    )
    signed = signature("8f742231b10e8888abcd99yyyzzz85a5", "1531420618", body)
    assert signed == "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


async def test_a_message_may_be_so_long_and_no_longer(slack: FakeSlack) -> None:
    long = [section("x" * 3_000)] * 4
    assert message_faults("x" * 40_000, long) == []
    assert await error(slack, "chat.postMessage", channel=CHANNEL, text="x" * 40_001) == "msg_too_long"
    more = [*long, section("x" * 1_000)]
    assert await error(slack, "chat.postMessage", channel="C0OTHER", text="x", blocks=more) == "msg_blocks_too_long"
    assert len(slack.faults) == 2
    assert slack.workspace.messages == []


async def test_an_update_takes_less_text_than_a_new_message(slack: FakeSlack) -> None:
    _, posted, _ = await call(slack, "chat.postMessage", channel=CHANNEL, text="x" * 4_001)
    assert await error(slack, "chat.update", channel=CHANNEL, ts=posted["ts"], text="x" * 4_001) == "msg_too_long"
    assert (await call(slack, "chat.update", channel=CHANNEL, ts=posted["ts"], text="y" * 4_000))[1]["ok"]
    assert [one.text[0] for one in slack.workspace.messages] == ["y"]


async def test_a_workspace_takes_so_many_posts_a_minute_over_all_channels() -> None:
    async with FakeSlack(second=60.0, posts_per_minute=2) as slack:
        slack.workspace.channels = {"C0A", "C0B", "C0C"}
        for channel in ("C0A", "C0B"):
            assert (await call(slack, "chat.postMessage", channel=channel, text="x"))[0] == 200
        status, answer, headers = await call(slack, "chat.postMessage", channel="C0C", text="x")
        assert (status, answer["error"]) == (429, "ratelimited")
        # The one that was refused counts for nothing: its channel is not made to wait for it.
        assert int(headers["Retry-After"]) <= 60
        assert slack.count("chat.postMessage") == 2


def test_what_the_machine_takes_is_not_laid_to_the_app() -> None:
    still = Standstill()
    for seconds in (TICK, 1.9 * TICK, 3 * TICK, 1.0 + TICK):
        still.count(seconds)
    assert still.seconds == pytest.approx(1.0 + 2 * TICK)
    assert Answer(200, "", ACK_WITHIN + 1.0, stood_still=1.0).in_time
    assert not Answer(200, "", ACK_WITHIN + 1.1, stood_still=1.0).in_time


async def test_an_app_that_holds_up_its_loop_is_no_standstill() -> None:
    with Standstill() as still:
        began = time.perf_counter()
        # What blocks is the app's own doing; the clock is looked at all the same.
        time.sleep(10 * TICK)  # noqa: ASYNC251
        held = time.perf_counter() - began
    assert still.seconds < held - 5 * TICK
