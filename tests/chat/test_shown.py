"""What is shown, without Slack: within its limits for whatever a rollout holds, and escaped."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine import console
from coalmine.chat import blocks, digest, grammar, mrkdwn
from coalmine.chat.buttons import BUTTONS, Dialog, Pressed, stale
from coalmine.chat.grammar import WORDS, help_lines, parse
from coalmine.chat.settings import Digest
from coalmine.chat.thread import next_message
from coalmine.cli._verbs import VERBS
from coalmine.errors import InputError
from coalmine.records import GateStatus, LedgerEntry, MetricVerdict, Phase, RolloutStatus, Verb
from coalmine.testing.slack import message_faults, view_faults
from tests.chat.rollouts import make_state

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONTROL = re.compile(r"<(?!!date\^|https?://|!subteam\^S0SRE>|@U0LEAD>)[^>]*>")
texts = st.text(max_size=60) | st.sampled_from(
    ["<!channel>" * 300, "&" * 3_000, "\u202e<@U1>", "```" * 90, "x" * 4_000, ""]
)
names = st.text(min_size=1, max_size=30) | st.just("<&>" * 100)
verdicts = st.lists(
    st.builds(
        MetricVerdict,
        metric=names,
        verdict=st.sampled_from(["pass", "fail", "inconclusive", "no_data"]),
        sentence=texts,
        role=st.sampled_from(["guardrail", "signal"]),
    ),
    max_size=14,
)
gates = st.none() | st.builds(
    GateStatus, name=names, step=st.just(1), state=st.sampled_from(["closed", "waiting", "open"]),
    by=st.lists(names, max_size=5), approvals=st.lists(names, max_size=5),
)  # fmt: skip
statuses = st.builds(
    RolloutStatus,
    phase=st.sampled_from(list(Phase)),
    service=names,
    environment=names,
    version=names,
    baseline_version=names,
    rollout_id=st.text(max_size=30) | st.just("a/" * 1_250),
    workflow_id=names,
    reason=texts,
    held_reason=texts,
    unmet=st.lists(texts, max_size=4),
    verdicts=verdicts,
    gate=gates,
    can_send=st.lists(st.sampled_from(list(Verb)), unique=True),
    by=names,
    started_at=st.none() | st.just(NOW),
)
entries = st.builds(
    LedgerEntry,
    kind=st.sampled_from(["command", "refused", "hold", "roll_back", "escalated", "look", "shifted", "diagnosis"]),
    rollout_id=st.just("a"), sequence=st.integers(1, 100), at=st.just(NOW), reason=texts, by=st.text(max_size=80),
    data=st.fixed_dictionaries({"verb": texts, "said": texts, "to": st.lists(texts, max_size=3), "gate": texts}),
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(statuses, st.none() | entries, st.none() | st.text(max_size=200).map(lambda path: f"http://ui.example/{path}"))
def test_a_message_of_anything_is_within_the_limits(
    status: RolloutStatus, said: LedgerEntry | None, link: str | None
) -> None:
    shown = blocks.message(status, said, link)
    assert message_faults(blocks.summary(status), shown) == []
    for block in shown:
        texts = [block.get("text") or {}, *[one for one in block.get("elements", []) if one["type"] == "mrkdwn"]]
        for one in texts:
            if one.get("type") == "mrkdwn":
                assert not CONTROL.search(one["text"])
                assert "\u202e" not in one["text"]
    for block in shown:
        for button in block["elements"] if block["type"] == "actions" else []:
            assert Pressed.of_value(button["value"]).rollout_id == status.rollout_id


@settings(max_examples=30, deadline=None)
@given(st.lists(entries, max_size=20, unique_by=lambda one: one.sequence), st.integers(0, 50), statuses)
def test_a_thread_tells_everything_once_in_order_within_the_limits(
    found: list[LedgerEntry], after: int, status: RolloutStatus
) -> None:
    found.sort(key=lambda one: one.sequence)
    told = after
    for _ in range(30):
        message = next_message(found, told, status, {"sre": "S0SRE"}, {"lead": "U0LEAD"})
        if message is None:
            break
        assert message.sequence > told
        assert len(message.text) <= blocks.SECTION
        assert not CONTROL.search(message.text)
        told = message.sequence
    assert told == max([after, *(one.sequence for one in found)])


@settings(max_examples=40, deadline=None)
@given(
    statuses.filter(lambda one: one.rollout_id),
    st.sampled_from(list(BUTTONS)),
    st.sampled_from(["", "https://hooks.example/1", "x" * 4_000]),
)
def test_a_dialog_of_anything_is_within_the_limits(status: RolloutStatus, verb: Verb, url: str) -> None:
    value = Pressed("canary/a/b", "a/b/1/1", "go", 2)
    carried = Dialog(value.workflow_id, value.rollout_id, value.gate, value.attempt, "C01", url)
    view = blocks.dialog(verb, carried, status)
    assert view_faults(view) == []
    assert Dialog.of_text(view["private_metadata"]).asked == value


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab&<>|* \n`", max_size=300), st.integers(10, 120))
def test_cutting_never_leaves_half_an_escape_or_half_a_mention(text: str, limit: int) -> None:
    cut = mrkdwn.cut(f"<@U0ANA> {mrkdwn.escaped(text)}", limit)
    assert len(cut) <= limit
    assert re.fullmatch(r"(<@U0ANA>|&(amp|lt|gt);|[^<>&])*", cut, re.DOTALL)


@pytest.mark.parametrize("length", [300, 301, 2_000])
def test_a_free_text_has_three_hundred_characters_in_the_message(length: int) -> None:
    """Of several each has its share: a section holds 3,000 in all. The whole text is in the thread."""
    state = make_state(Phase.HELD)
    assert state.held is not None
    state.held.reason = "y" * length
    status = console.status(state)
    lines = blocks.message(status)[1]["text"]["text"].splitlines()
    [held] = [line.removeprefix("*held:* ") for line in lines if line.startswith("*held:* ")]
    trouble = blocks.message(status, trouble="y" * length)[2]["text"]["text"].rpartition("* ")[2]
    for shown in (held, trouble):
        assert len(shown) == 300
        assert ("…" in shown) == (length > 300)


def test_a_dialogs_title_is_cut_where_slack_would_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    status = console.status(make_state(Phase.GATED))
    carried = Dialog("canary/a/b", "a/b/1/1", None, None, "C01")
    for label, title in (("x" * 24, "x" * 24), ("x" * 25, "x" * 23 + "…")):
        monkeypatch.setitem(BUTTONS, Verb.PAUSE, (label, ""))
        view = blocks.dialog(Verb.PAUSE, carried, status)
        assert view_faults(view) == []
        assert (view["title"]["text"], view["submit"]["text"]) == (title, title)


def test_a_link_hides_nothing() -> None:
    assert mrkdwn.link("https://a.example/?a=1&b=2", "x|<y>") == "<https://a.example/?a=1&amp;b=2|x/&lt;y&gt;>"
    assert mrkdwn.link("https://a.example/|fine>", "x") == "x"
    assert mrkdwn.link("javascript:alert(1)", "x") == "x"


@pytest.mark.parametrize("verb", list(BUTTONS))
def test_a_button_is_stale_for_another_rollout_and_a_closed_one(verb: Verb) -> None:
    status = console.status(make_state(Phase.GATED))
    asked = Pressed(status.workflow_id, status.rollout_id)
    assert stale(asked, verb, status) == ""
    assert "which is over" in stale(Pressed(status.workflow_id, "test/checkout/1.0.9/1"), verb, status)
    closed = status.model_copy(update={"phase": Phase.CLOSED})
    assert "is closed" in stale(asked, verb, closed)


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("approve checkout -e production looks fine", {"environment": "production", "reason": "looks fine"}),
        ('APPROVE checkout "looks fine"', {"verb": "approve", "reason": "looks fine"}),
        ("approve <http://checkout|checkout> it's me &amp; you", {"rollout": "checkout", "reason": "it's me & you"}),
        ("reject checkout <mailto:ana@x.org|ana@x.org> says 5 &lt; 6", {"reason": "ana@x.org says 5 < 6"}),
        ("rollback checkout <@U024|ana> said so", {"reason": "@ana said so"}),
        ("approve checkout —gate go –attempt 2", {"gate": "go", "attempt": 2}),
        ("extend checkout --for 45m", {"longer": timedelta(minutes=45)}),
        ("pause checkout -m 'too slow'", {"reason": "too slow"}),
        ("pause checkout -m ‘too slow’ -e test", {"reason": "too slow", "environment": "test"}),
        ("pause checkout -m “too slow”", {"reason": "too slow"}),
        ("pause checkout --reason='too slow'", {"reason": "too slow"}),
        ("pause checkout --reason=‘it’s too slow’", {"reason": "it's too slow"}),
        ("pause checkout --reason=“it’s too slow”", {"reason": "it's too slow"}),
        ("pause checkout -m'too slow'", {"reason": "too slow"}),
        ("pause checkout -m don't", {"reason": "don't"}),
        ("pause checkout don't, it’s the pods' memory", {"reason": "don't, it's the pods' memory"}),
        ("pause checkout '90s hits aren't 'in'", {"reason": "90s hits aren't 'in"}),
        ("pause checkout 'tis late", {"reason": "'tis late"}),
        ("pause checkout rock'n'roll at O'Neill's", {"reason": "rock'n'roll at O'Neill's"}),
        (r'''pause checkout -m "it's \"slow\" in C:\dir"''', {"reason": r"""it's "slow" in C:\dir"""}),
        ("HELP", {"verb": "help", "about": ""}),
        ("Help APPROVE", {"verb": "help", "about": "approve"}),
        ("list --service checkout", {"verb": "list", "service": "checkout"}),
        ("pause checkout -h", {"verb": "help", "about": "pause"}),
        ("", {"verb": "help"}),
        ("help nonsense", {"verb": "help", "about": ""}),
    ],
)
def test_what_people_type(typed: str, wanted: dict[str, Any]) -> None:
    found = parse(typed)
    assert {name: getattr(found, name) for name in wanted} == wanted


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet="ab'\" =-\\m$;", max_size=8), min_size=1, max_size=4))
def test_what_is_quoted_for_a_shell_is_read_as_a_shell_reads_it(words: list[str]) -> None:
    assert grammar._words(shlex.join(words)) == words


def test_a_reason_that_is_there_twice_is_told_with_the_mend() -> None:
    with pytest.raises(InputError, match="'too' by --reason and 'slow' beside it: put quotes around all of it"):
        parse("pause checkout -m too slow")


@pytest.mark.parametrize("verb", ["status", *Verb])
def test_a_missing_rollout_is_all_that_is_missing(verb: str) -> None:
    with pytest.raises(InputError, match=r"required: ROLLOUT \("):
        parse(verb)


@pytest.mark.parametrize(
    "typed", ["approve", "status a b", "extend checkout --for soon", "pause x --attempt 2", "x" * 4_000]
)
def test_what_nobody_understands_is_one_line(typed: str) -> None:
    with pytest.raises(InputError) as error:
        parse(typed)
    assert "\n" not in str(error.value)
    assert "coalmine" not in str(error.value)


def test_help_tells_every_verb_and_what_it_does() -> None:
    told = "\n".join(help_lines())
    for word in set(WORDS) - {"help"}:
        assert f"/rollout {word} " in told
        assert VERBS[word].line in told
    assert len(told) < 2_800


def test_the_digest_comes_once_a_day_at_its_time_in_its_zone() -> None:
    wanted = Digest.model_validate({"at": "09:00", "zone": "Europe/Vienna", "channel": "C01"})
    assert digest.due(wanted, datetime(2026, 3, 1, 7, 59, tzinfo=UTC), "none") is None
    assert digest.due(wanted, datetime(2026, 3, 1, 8, 0, tzinfo=UTC), "none") == date(2026, 3, 1)
    assert digest.due(wanted, datetime(2026, 3, 1, 20, 0, tzinfo=UTC), "2026-03-01") is None
    assert digest.due(wanted, datetime(2026, 3, 1, 23, 30, tzinfo=UTC), "2026-03-01") is None
    # Summer time: nine o'clock is an hour earlier.
    assert digest.due(wanted, datetime(2026, 7, 1, 7, 0, tzinfo=UTC), "2026-06-30") == date(2026, 7, 1)


@settings(max_examples=30, deadline=None)
@given(st.lists(statuses, max_size=5), st.lists(statuses, max_size=5))
def test_a_digest_of_anything_is_within_the_limits(closed: list[RolloutStatus], open_: list[RolloutStatus]) -> None:
    told = digest.text(date(2026, 3, 1), closed, open_, Counter())
    assert len(told) <= digest.LONGEST
    assert not CONTROL.search(told)
