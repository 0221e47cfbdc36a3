"""Every verb in every phase, by everybody, through the real Bolt app; the rules are those of the workflow."""

from __future__ import annotations

import pytest

from coalmine.chat.buttons import offered
from coalmine.records import Phase, Verb
from tests.chat.conftest import ANA, BO, BOT, CY, EVE, GONE, GUEST, STRANGER, Office
from tests.chat.rollouts import gated_spec, make_state
from tests.verb_table import NO, TABLE

REASON = "because it is so"


@pytest.mark.parametrize("phase", list(Phase))
async def test_every_verb_typed_by_somebody_entitled_and_by_everybody_else(phase: Phase, office: Office) -> None:
    await office.open()
    for verb in Verb:
        state = office.rollouts.add(make_state(phase, number=len(office.rollouts.said) + 1))
        before = len(office.rollouts.said)
        for user, why in (
            (EVE, "Coalmine does not know who you are (U0EVE, eve@corp.example): ask"),
            (GUEST, "guests may not say anything"),
            (BOT, "bots may not say anything"),
            (STRANGER, "you belong to another workspace"),
            (GONE, "your account is deactivated"),
            ("U0NOBODY", "Slack does not say who you are"),
        ):
            heard = office.heard(user)
            assert (await office.hands.command("/rollout", f"{verb} checkout {REASON}", user)).in_time
            assert why in await office.hands.told(user, heard)
        assert len(office.rollouts.said) == before
        heard = office.heard(ANA)
        assert (await office.hands.command("/rollout", f"{verb} checkout -e test {REASON}", ANA)).in_time
        told, cell = await office.hands.told(ANA, heard), TABLE[verb][phase]
        if cell.startswith(NO):
            assert "🚫 refused: " in told
            assert cell.removeprefix(NO).replace(" ", "") in _plain(told)
        else:
            assert cell.replace(" ", "") in _plain(told)
            assert "refused" not in told
        said = office.rollouts.said[-1]
        assert (said.verb, said.given["by"], said.given["reason"]) == (verb, "ana@example.org", REASON)
        assert said.ref.run_id == state.run_id


def _plain(text: str) -> str:
    return text.replace("\u02cd", "_").replace("∗", "*").replace("&gt;", ">").replace(" ", "")


@pytest.mark.parametrize("phase", list(Phase))
async def test_every_button_that_is_shown_can_act_and_no_other_is_shown(phase: Phase, office: Office) -> None:
    status_verbs = {verb for verb in Verb if not TABLE[verb][phase].startswith(NO)} - {Verb.EXTEND}
    if phase is not Phase.GATED:
        status_verbs -= {Verb.REJECT}
    if phase is Phase.ROLLING_BACK:
        status_verbs = set()
    await office.open()
    state = office.rollouts.add(make_state(phase))
    root = await office.root()
    await office.until(lambda: not office.apps[0].outbox.waiting)
    shown = {name.removeprefix("rollout:") for name in root.buttons}
    if phase is Phase.CLOSED:
        assert shown == set()
        return
    assert shown == {str(verb) for verb in status_verbs}
    for verb in sorted(shown):
        again = office.rollouts.add(make_state(phase, number=len(office.rollouts.said) + 2))
        number = len(office.slack.workspace.roots())
        root = await office.root(number)
        await office.has_button(root, verb)
        views, heard = len(office.slack.workspace.views), office.heard(BO)
        await office.hands.click(root, f"rollout:{verb}", BO)
        view = await office.hands.opened(views)
        assert again.rollout_id in str(view["blocks"][0])
        await office.hands.submit(view, BO, REASON)
        assert TABLE[Verb(verb)][phase].replace(" ", "") in _plain(await office.hands.told(BO, heard))
        said = office.rollouts.said[-1]
        assert (said.verb, said.given["by"]) == (verb, "bo@example.org")
    assert state.order is None


async def test_wrong_users_open_no_dialog(office: Office) -> None:
    await office.open(settings={"may": {"promote": ["sre"], "rollback": ["cy@example.org"]}})
    office.rollouts.add(make_state(Phase.GATED))
    root = await office.button("rollback")
    for verb, user, why in (
        ("approve", EVE, "does not know who you are"),
        ("rollback", GUEST, "guests may not"),
        ("promote", CY, "cy@example.org may not say promote here: it is for sre (may.promote)"),
        ("rollback", ANA, "ana@example.org may not say rollback here: it is for cy@example.org (may.rollback)"),
    ):
        heard = office.heard(user)
        await office.hands.click(root, f"rollout:{verb}", user)
        assert why in await office.hands.told(user, heard)
    assert office.slack.workspace.views == []
    assert office.rollouts.said == []
    # Whoever is not of the gate's people opens the dialog, and the workflow refuses.
    assert "cy@example.org may not approve gate 'go'" in await office.press("approve", CY)


async def test_what_everybody_may_read(office: Office) -> None:
    await office.open(settings={"may": {"read": ["sre"]}})
    state = office.rollouts.add(make_state(Phase.GATED))
    for words, shown in (
        ("status checkout", "waiting at a gate"),
        ("list", "checkout 1.1.0 in test: gated at 10 %"),
        ("decisions checkout", "admitted"),
        ("help", "/rollout approve ROLLOUT"),
    ):
        heard = office.heard(ANA)
        await office.hands.command("/rollout", words, ANA)
        assert shown in await office.hands.told(ANA, heard)
    heard = office.heard(CY)
    await office.hands.command("/rollout", "status checkout", CY)
    assert "may not look at rollouts here: it is for sre" in await office.hands.told(CY, heard)
    heard = office.heard(EVE)
    await office.hands.command("/rollout", "help approve", EVE)
    assert "--break-glass" in await office.hands.told(EVE, heard)
    assert state.order is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("aprove checkout", "unknown verb 'aprove'; did you mean approve?"),
        ("status chekout", "there is no rollout 'chekout'; did you mean 'checkout'?"),
        ("start https://evil.example/spec.yaml", "start is not offered in chat"),
        ("promote checkout", "say why"),
        ("approve checkout --by root", "unknown option --by"),
        ("approve checkout --sign-with /etc/passwd", "unknown option --sign-with"),
        ('rollback checkout "open', "a quotation mark (&quot;) is not closed".replace("&quot;", '"')),
    ],
)
async def test_what_cannot_be_used_is_told_with_the_nearest_word(words: str, said: str, office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED))
    assert (await office.hands.command("/rollout", words, ANA)).in_time
    assert said in await office.hands.told(ANA)
    assert office.rollouts.said == []


async def test_extend_and_break_glass_as_on_the_command_line(office: Office) -> None:
    await office.open()
    office.rollouts.add(make_state(Phase.GATED, gated_spec(break_glass=True)))
    await office.hands.command("/rollout", "extend checkout —for 45m “more time, it's late”", ANA)
    assert "gate 'go' waits" in await office.hands.told(ANA)
    assert office.rollouts.said[-1].given["longer"].total_seconds() == 45 * 60
    assert office.rollouts.said[-1].given["reason"] == "more time, it's late"
    heard = office.heard(CY)
    await office.hands.command("/rollout", "approve checkout --break-glass payments are down and nobody answers", CY)
    assert "gate 'go' is open" in await office.hands.told(CY, heard)


def test_a_closed_rollout_offers_nothing() -> None:
    from coalmine import console

    assert offered(console.status(make_state(Phase.CLOSED))) == []
