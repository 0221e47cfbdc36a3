"""Pages as a browser without a script gets them: read, confirm, act, and hear what became of it."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from html import unescape
from typing import Any
from uuid import UUID

import pytest

from coalmine.dashboard.first_answers import once_of
from coalmine.dashboard.fleet_view import path_of
from coalmine.errors import LedgerError, PayloadUnreadable, TemporalUnavailable
from coalmine.recorded import Shift
from coalmine.records import CommandReceipt, Outcome, Phase, RolloutStatus, Verb
from coalmine.searching import RolloutRef
from coalmine.testing.fake_rollouts import FakeRollouts
from coalmine.testing.sample_rollouts import BEGAN, a_past, a_status
from tests.dashboard.served import Served, served, until

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
PATH = "/rollouts/production/checkout"
ACT = "/act/production/checkout"


async def test_the_fleet_says_what_waits_for_whom(desk: Served) -> None:
    text = await desk.page("/")
    assert 'href="/rollouts/production/checkout"' in text
    assert "gate &#39;go&#39; waits for 1 of sre" in text
    assert "1 waits for somebody." in text


@pytest.mark.parametrize("region", [None, "eu"])
async def test_an_environment_may_be_called_canary(desk: Served, fake: FakeRollouts, region: str | None) -> None:
    fake.put(a_status("checkout", "canary", region, Phase.GATED))
    path = path_of("canary", "checkout", region)
    assert "checkout 1.41.0 → 1.42.0 in canary" in await desk.page(path)
    assert (await desk.client.get(f"/api/v1{path}")).json()["environment"] == "canary"
    act = path.replace("/rollouts/", "/act/").replace("checkout", "checkout/rollback")
    answer = await desk.client.post(act, data=await desk.form(act))
    assert answer.status_code == 303
    assert [(one.workflow_id, one.verb) for one in fake.sent] == [
        ("/".join(filter(None, ("canary/canary/checkout", region))), Verb.ROLLBACK)
    ]


async def test_an_empty_fleet_says_how_to_begin(desk: Served, fake: FakeRollouts) -> None:
    fake.statuses.clear()
    assert "coalmine start spec.yaml" in await desk.page("/")


async def test_a_rollout_shows_what_was_judged(desk: Served) -> None:
    text = await desk.page(PATH)
    for said in (
        "checkout 1.41.0 → 1.42.0 in production",
        "waiting at a gate at 10 %",
        "the step lasts 4m more",
        "errors: 0.42 % against 0.43 %",
        "margin ×1.50",
        'class="band"',
        "The canary&#x27;s share of traffic over time",
    ):
        assert said in text, said


async def test_where_it_advanced_is_marked_though_the_record_no_longer_has_it(desk: Served, fake: FakeRollouts) -> None:
    status = fake.statuses["canary/production/checkout"]
    steps = ((0, 10.0), (100, 10.0), (150, 50.0), (300, 100.0))
    shifts = [
        Shift(at=BEGAN + timedelta(seconds=at), weights={"checkout-v41": 100 - share, "checkout-v42": share})
        for at, share in steps
    ]
    fake.put(status, a_past(status).model_copy(update={"shifts": shifts}))
    text = await desk.page(PATH)
    # In the plot of each metric; the first step is where it began, and a weight that is written again is none.
    assert text.count('class="mark advance"') == len(status.verdicts)
    assert text.count('class="mark promote"') == len(status.verdicts)
    assert "look 5: " in text


async def test_only_what_means_something_is_offered(desk: Served, fake: FakeRollouts) -> None:
    assert f"{ACT}/approve" in await desk.page(PATH)
    fake.change("canary/production/checkout", phase=Phase.BAKING, gate=None)
    text = await desk.page(PATH)
    assert f"{ACT}/pause" in text
    assert f"{ACT}/approve" not in text
    assert "approve means nothing while the rollout is baking" in await desk.page(f"{ACT}/approve")


async def test_it_is_said_after_a_confirmation_with_what_was_seen(desk: Served, fake: FakeRollouts) -> None:
    form = await desk.form(f"{ACT}/approve")
    assert (form["gate"], form["attempt"]) == ("go", "1")
    answer = await desk.client.post(f"{ACT}/approve", data={**form, "reason": "looks fine"})
    assert answer.status_code == 303
    assert "Approve: approve is taken" in await desk.page(answer.headers["location"])
    [said] = fake.sent
    assert (said.verb, said.by, said.reason, said.gate, said.attempt) == (Verb.APPROVE, "ana", "looks fine", "go", 1)
    # Nobody proved who ana is: a signature would say that somebody did.
    assert said.token is None


async def test_a_refusal_comes_back_with_its_reason_and_what_was_typed(desk: Served, fake: FakeRollouts) -> None:
    form = await desk.form(f"{ACT}/approve")
    fake.change("canary/production/checkout", phase=Phase.STEPPING, gate=None)
    answer = await desk.client.post(f"{ACT}/approve", data={**form, "reason": "typed already"})
    assert answer.status_code == 409
    assert "approve means nothing while it is stepping" in answer.text
    assert "typed already" in answer.text


async def test_what_was_meant_for_a_rollout_is_not_said_to_one_that_takes_its_place_meanwhile(
    desk: Served, fake: FakeRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = await desk.form(f"{ACT}/rollback")
    asked = fake.status

    async def then_another_begins(ref: RolloutRef) -> RolloutStatus:
        seen = await asked(ref)
        monkeypatch.setattr(fake, "status", asked)
        fake.change(seen.workflow_id, rollout_id="production/checkout/1.43.0/1", run_id=str(UUID(int=99)))
        return seen

    monkeypatch.setattr(fake, "status", then_another_begins)
    answer = await desk.client.post(f"{ACT}/rollback", data=form)
    assert answer.status_code == 409
    assert "production/checkout/1.42.0/1 is not running any more" in answer.text
    assert fake.sent == []


async def test_a_rollback_is_left_for_the_next_worker_while_none_answers(
    desk: Served, fake: FakeRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollback, pause = await desk.form(f"{ACT}/rollback"), await desk.form(f"{ACT}/pause")

    async def no_worker(ref: RolloutRef) -> RolloutStatus:
        raise TemporalUnavailable("no worker polls")

    monkeypatch.setattr(fake, "status", no_worker)
    assert (await desk.client.post(f"{ACT}/pause", data=pause)).status_code == 503
    assert (await desk.client.post(f"{ACT}/rollback", data={**rollback, "reason": "why"})).status_code == 303
    assert [(said.verb, said.by, said.reason) for said in fake.sent] == [(Verb.ROLLBACK, "ana", "why")]
    # A run that is over hears nothing, whoever has its place now.
    again = await desk.client.post(f"{ACT}/rollback", data={**rollback, "once": "anew", "run_id": str(UUID(int=77))})
    assert again.status_code == 503
    assert len(fake.sent) == 1


async def test_a_rollback_can_be_said_and_is_told_while_nobody_answers(
    desk: Served, fake: FakeRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fake.statuses["canary/production/checkout"].run_id

    async def no_worker(ref: RolloutRef) -> RolloutStatus:
        raise TemporalUnavailable("no worker polls")

    monkeypatch.setattr(fake, "status", no_worker)
    text = await desk.page(PATH, 503)
    assert "No answer from this rollout" in text
    assert "No worker polls" in text
    assert f'href="{ACT}/rollback"' in text
    assert f"{ACT}/approve" not in text
    await desk.page(f"{ACT}/approve", 503)
    text = await desk.page(f"{ACT}/rollback")
    # Nobody tells which rollout it is, so it is for the run that is listed, and for no other.
    assert f'action="{ACT}/rollback?run={run}"' in text
    form = await desk.form(f"{ACT}/rollback")
    assert (form["run_id"], form["rollout_id"]) == (run, "")
    answer = await desk.client.post(f"{ACT}/rollback?run={run}", data={**form, "reason": "why"})
    assert answer.status_code == 303
    assert [(said.verb, said.reason) for said in fake.sent] == [(Verb.ROLLBACK, "why")]
    told = await desk.page(answer.headers["location"], 503)
    assert "Rollback: rollback is taken" in told
    # It is over now, and there is nothing left to say.
    assert f'href="{ACT}/rollback"' not in await desk.page(PATH, 503)


async def test_what_is_meant_for_a_rollout_reaches_it_in_its_next_run(
    desk: Served, fake: FakeRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = await desk.form(f"{ACT}/rollback")
    asked = fake.status

    async def then_it_goes_on_as_new(ref: RolloutRef) -> RolloutStatus:
        seen = await asked(ref)
        monkeypatch.setattr(fake, "status", asked)
        fake.change(seen.workflow_id, run_id=str(UUID(int=99)))
        return seen

    monkeypatch.setattr(fake, "status", then_it_goes_on_as_new)
    assert (await desk.client.post(f"{ACT}/rollback", data=form)).status_code == 303
    assert [said.verb for said in fake.sent] == [Verb.ROLLBACK]


async def test_a_form_counts_once_and_one_that_is_opened_again_counts_anew(desk: Served, fake: FakeRollouts) -> None:
    form = await desk.form(f"{ACT}/extend")
    pressed = [await desk.client.post(f"{ACT}/extend", data={**form, "for": "45m"}) for _ in range(2)]
    assert [answer.status_code for answer in pressed] == [303, 303]
    assert "Extend: extend is taken" in await desk.page(pressed[1].headers["location"])
    assert len(fake.sent) == 1
    opened = await desk.form(f"{ACT}/extend")
    assert opened["once"] != form["once"]
    assert (await desk.client.post(f"{ACT}/extend", data=opened)).status_code == 303
    assert len(fake.sent) == 2


async def test_a_form_counts_once_after_its_rollout_closed_or_went_on_as_new(desk: Served, fake: FakeRollouts) -> None:
    extend, rollback = await desk.form(f"{ACT}/extend"), await desk.form(f"{ACT}/rollback")
    for verb, form in (("extend", extend), ("rollback", rollback)):
        await desk.client.post(f"{ACT}/{verb}", data=form)
        fake.change("canary/production/checkout", run_id=str(UUID(int=99)))
        fake.answers.clear()
        again = await desk.client.post(f"{ACT}/{verb}", data=form)
        assert f"{verb} is taken" in await desk.page(again.headers["location"])
    assert [said.verb for said in fake.sent] == [Verb.EXTEND, Verb.ROLLBACK]


async def test_a_form_pressed_twice_at_once_while_no_worker_answers_leaves_one_word(
    desk: Served, fake: FakeRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, left = await desk.form(f"{ACT}/rollback"), []

    async def no_worker(ref: RolloutRef) -> RolloutStatus:
        raise TemporalUnavailable("no worker polls")

    async def leaves(ref: RolloutRef, verb: Verb, **_: object) -> CommandReceipt:
        left.append(verb)
        await asyncio.sleep(0.05)
        return CommandReceipt(message="rollback is recorded", phase=Phase.GATED)

    monkeypatch.setattr(fake, "status", no_worker)
    monkeypatch.setattr(fake, "send", leaves)
    pressed = await asyncio.gather(*(desk.client.post(f"{ACT}/rollback", data=form) for _ in range(2)))
    assert [answer.status_code for answer in pressed] == [303, 303]
    assert left == [Verb.ROLLBACK]


async def test_what_was_refused_was_not_said_and_can_be_sent_again(desk: Served, fake: FakeRollouts) -> None:
    fake.change("canary/production/checkout", phase=Phase.HELD)
    form = await desk.form(f"{ACT}/resume")
    fake.change("canary/production/checkout", phase=Phase.STEPPING)
    assert (await desk.client.post(f"{ACT}/resume", data=form)).status_code == 409
    fake.change("canary/production/checkout", phase=Phase.HELD)
    assert (await desk.client.post(f"{ACT}/resume", data=form)).status_code == 303
    assert [said.verb for said in fake.sent] == [Verb.RESUME]


async def test_several_servers_count_a_form_once(desk: Served, fake: FakeRollouts) -> None:
    form = await desk.form(f"{ACT}/extend")
    async with served(fake) as other:
        other.client.cookies = desk.client.cookies
        for one in (desk, other):
            assert (await one.client.post(f"{ACT}/extend", data=form)).status_code == 303
    assert len(fake.sent) == 1


async def test_what_was_meant_for_another_rollout_does_nothing(desk: Served, fake: FakeRollouts) -> None:
    form = await desk.form(f"{ACT}/rollback")
    fake.change("canary/production/checkout", rollout_id="production/checkout/1.43.0/1", version="1.43.0")
    answer = await desk.client.post(f"{ACT}/rollback", data=form)
    assert answer.status_code == 409
    assert "production/checkout/1.42.0/1 is not running any more" in answer.text
    assert fake.sent == []


async def test_promote_wants_a_reason(desk: Served, fake: FakeRollouts) -> None:
    form = await desk.form(f"{ACT}/promote")
    answer = await desk.client.post(f"{ACT}/promote", data={**form, "reason": " "})
    assert answer.status_code == 422
    assert "reason: it is empty" in answer.text
    assert fake.sent == []


async def test_extend_takes_a_duration(desk: Served, fake: FakeRollouts) -> None:
    form = await desk.form(f"{ACT}/extend")
    wrong = await desk.client.post(f"{ACT}/extend", data={**form, "for": "soon"})
    assert wrong.status_code == 422
    assert "for: &#39;soon&#39; is not a duration" in wrong.text
    assert (await desk.client.post(f"{ACT}/extend", data={**form, "for": "45m"})).status_code == 303
    assert str(fake.sent[0].longer) == "0:45:00"


async def test_a_reason_is_as_long_as_the_core_takes_and_no_longer(desk: Served, fake: FakeRollouts) -> None:
    form = await desk.form(f"{ACT}/pause")
    longer = await desk.client.post(f"{ACT}/pause", data={**form, "reason": "x" * 2_001})
    assert longer.status_code == 422
    assert "reason: it has 2,001 characters, and 2,000 is the most" in longer.text
    assert fake.sent == []
    assert (await desk.client.post(f"{ACT}/pause", data={**form, "reason": "x" * 2_000})).status_code == 303


async def test_a_line_break_counts_as_the_field_counts_it(desk: Served, fake: FakeRollouts) -> None:
    form, typed = await desk.form(f"{ACT}/pause"), "\n".join(["x" * 99] * 20)
    answer = await desk.client.post(f"{ACT}/pause", data={**form, "reason": typed.replace("\n", "\r\n") + "\r\n"})
    assert answer.status_code == 303
    assert [said.reason for said in fake.sent] == [typed + "\n"]


@pytest.mark.parametrize("character", ["\u0628", "\U0001f426", "\n"])
async def test_a_reason_that_is_far_too_long_comes_back_to_be_shortened(
    desk: Served, fake: FakeRollouts, character: str
) -> None:
    form = await desk.form(f"{ACT}/pause")
    answer = await desk.client.post(f"{ACT}/pause", data={**form, "reason": "a" + character * 19_999})
    assert answer.status_code == 422
    assert "reason: it has 20,000 characters, and 2,000 is the most" in answer.text
    assert "a" + character * 19_999 in answer.text
    bare = await desk.client.post(f"{ACT}/pause", data={**form, "reason": "x" * 256 * 1024})
    assert bare.status_code == 413
    assert fake.sent == []


@pytest.mark.parametrize("attempt", ["0", "00", "-1", "1e3", "٣", "1234567"])
async def test_an_attempt_is_a_number_from_one_on(desk: Served, fake: FakeRollouts, attempt: str) -> None:
    form = await desk.form(f"{ACT}/approve")
    answer = await desk.client.post(f"{ACT}/approve", data={**form, "attempt": attempt})
    assert answer.status_code == 422
    assert "is not a number from 1 on" in answer.text
    assert fake.sent == []


async def test_a_closed_one_is_shown_and_offers_nothing(desk: Served, fake: FakeRollouts) -> None:
    changed = fake.change("canary/production/checkout", phase=Phase.CLOSED, outcome=Outcome.ROLLED_BACK)
    text = await desk.page(f"{PATH}?run={changed.run_id}")
    assert "rolled back" in text
    assert "Nothing can be said to it now" in text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/rollouts/production/nobody", 404),
        ("/rollouts/production/checkout?run=latest", 400),
        ("/rollouts/production/checkout?run=%3Cscript%3E", 400),
        ("/rollouts/production/checkout?run=01a22b1e-6776-77e8-a98c-7b2c9e6d509f", 404),
        ("/events/rollouts/production/checkout?run=latest", 400),
        ("/act/production/checkout/pause?run=latest", 400),
        ("/nowhere", 404),
        ("/?sort=color", 422),
        (f"{ACT}/explode", 404),
        ("/rollouts/pro%20duction/checkout", 422),
        ("/reports/x", 404),
        ("/static/secret", 404),
    ],
)
async def test_what_is_not_there_is_a_page_that_says_so(desk: Served, path: str, status: int) -> None:
    await desk.page(path, status)


async def test_silence_is_a_page_that_says_so(desk: Served, fake: FakeRollouts) -> None:
    await desk.page("/")
    fake.silent = "no worker polls"
    text = await desk.page(PATH, 503)
    assert "No worker polls" in text
    assert "Try again" in text


async def test_where_temporal_is_silent_the_page_asks_again_and_keeps_its_address_and_what_was_typed(
    desk: Served, fake: FakeRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = await desk.form(f"{ACT}/pause")

    async def silent(*_: Any) -> RolloutRef:
        raise TemporalUnavailable("Temporal does not answer")

    monkeypatch.setattr(fake, "find", silent)
    text = await desk.page(f"{PATH}?region=eu-1", 503)
    assert f'href="{PATH}?region=eu-1"' in text
    assert 'id="again"' in text
    answer = await desk.client.post(f"{ACT}/pause", data={**form, "reason": "the <long> story"})
    assert answer.status_code == 503
    assert "the &lt;long&gt; story</textarea>" in answer.text
    assert 'id="again"' not in answer.text
    assert not fake.sent
    # It may have been heard all the same: said again from here it is the same word.
    (link,) = re.findall(r'href="([^"]*once=[^"]*)"', answer.text)
    monkeypatch.undo()
    assert (await desk.form(unescape(link)))["once"] == form["once"]
    assert (await desk.form(f"{ACT}/pause?once=a-strangers"))["once"] not in (form["once"], "a-strangers")


def test_a_form_is_one_word_of_one_person_about_one_rollout() -> None:
    mine = once_of("f", "canary/production/checkout", "ana", Verb.PAUSE)
    others = [
        once_of("g", "canary/production/checkout", "ana", Verb.PAUSE),
        once_of("f", "canary/production/shop", "ana", Verb.PAUSE),
        once_of("f", "canary/production/checkout", "bo", Verb.PAUSE),
        once_of("f", "canary/production/checkout", "ana", Verb.RESUME),
    ]
    assert len({mine, *others}) == 5
    assert mine == once_of("f", "canary/production/checkout", "ana", Verb.PAUSE)


async def test_a_page_without_its_rollout_hears_once_somebody_answers(
    desk: Served, fake: FakeRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_worker(ref: RolloutRef) -> RolloutStatus:
        raise TemporalUnavailable("no worker polls")

    with monkeypatch.context() as silent:
        silent.setattr(fake, "status", no_worker)
        assert f'data-stream="/events{PATH}"' in await desk.page(PATH, 503)
        async with desk.stream(f"/events{PATH}") as updates:
            update = await until(updates, lambda update: "banner" in update["parts"])
            assert "no worker polls" in update["parts"]["banner"]
            assert "What is shown is from before" not in update["parts"]["banner"]
            silent.undo()
            update = await until(updates, lambda update: "head" in update["parts"])
            assert update["parts"]["banner"].strip() == ""


async def test_what_people_wrote_is_shown_and_never_run(desk: Served, fake: FakeRollouts) -> None:
    fake.change(
        "canary/production/checkout",
        version=EVIL,
        reason=EVIL,
        held_reason=EVIL,
        by=EVIL,
        unmet=[EVIL],
        history_note=EVIL,
        restore_failure=EVIL,
    )
    form = await desk.form(f"{ACT}/approve")
    await desk.client.post(f"{ACT}/approve", data={**form, "reason": EVIL})
    for path in ("/", PATH, f"{ACT}/rollback", f"/?q={EVIL}", f"{PATH}?said={EVIL}"):
        text = await desk.page(path)
        assert "<script>alert" not in text
        assert "<img" not in text
    assert "&lt;script&gt;alert" in await desk.page(PATH)
    async with desk.stream(f"/events{PATH}") as updates:
        update = await until(updates, lambda update: "decisions" in update["parts"])
    assert "&lt;script&gt;" in update["parts"]["decisions"]
    assert "<script>" not in "".join(update["parts"].values())


async def test_streams_send_everything_first_and_then_what_changed(desk: Served, fake: FakeRollouts) -> None:
    async with desk.stream("/events/fleet") as updates:
        first = await until(updates, lambda update: bool(update["order"]))
        assert list(first["rows"]) == first["order"]
        fake.change("canary/production/checkout", phase=Phase.STEPPING, gate=None, canary_weight=50.0)
        update = await until(updates, lambda update: bool(update["rows"]))
        assert "50 %" in next(iter(update["rows"].values()))
        assert update["announce"] == "checkout in production: stepping"
    async with desk.stream(f"/events{PATH}") as updates:
        await until(updates, lambda update: "head" in update["parts"])
        fake.change("canary/production/checkout", phase=Phase.HELD, held_reason="why not")
        update = await until(updates, lambda update: "head" in update["parts"])
        assert "metrics" not in update["parts"]
        assert update["announce"] == "checkout: held, needs a human at 50 %"


async def test_a_stream_says_that_nobody_answers_and_that_somebody_does_again(desk: Served, fake: FakeRollouts) -> None:
    async with desk.stream("/events/fleet") as updates:
        await until(updates, lambda update: bool(update["order"]))
        fake.silent = "connection refused"
        update = await until(updates, lambda update: "banner" in update["parts"])
        assert "Not connected to Temporal since" in update["parts"]["banner"]
        assert "connection refused" in update["parts"]["banner"]
        fake.silent = ""
        update = await until(updates, lambda update: "banner" in update["parts"])
        assert update["parts"]["banner"].strip() == ""


async def test_trends_without_a_ledger_say_how_to_name_one(desk: Served) -> None:
    assert "start the dashboard with --ledger" in await desk.page("/trends")


def test_errors_have_a_status() -> None:
    from coalmine.dashboard.problems import status_of

    assert status_of(LedgerError("x")) == 503
    assert status_of(PayloadUnreadable("x")) == 503


@pytest.mark.parametrize("path", ["/", PATH, "/healthz", "/api/v1/rollouts", "/nowhere", "/?sort=nonsense"])
async def test_head_is_answered_as_get_without_the_body(desk: Served, path: str) -> None:
    await desk.client.get("/")  # The first answer brings a cookie.
    asked, got = await desk.client.head(path), await desk.client.get(path)
    assert (asked.status_code, asked.content) == (got.status_code, b"")
    assert set(asked.headers) == set(got.headers)
    assert asked.headers["Content-Type"] == got.headers["Content-Type"]
    assert asked.headers["X-Frame-Options"] == "DENY"


async def test_head_of_a_stream_is_refused_and_that_of_a_form_s_target_writes_nothing(
    desk: Served, fake: FakeRollouts
) -> None:
    assert (await desk.client.head("/events/fleet")).status_code == 405
    assert (await desk.client.head(f"{ACT}/approve")).status_code == 200
    assert not fake.sent
