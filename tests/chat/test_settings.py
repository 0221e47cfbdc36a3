"""The settings file: what is wrong is told by field, value and mend."""

from __future__ import annotations

from typing import Any

import pytest

from coalmine.chat.people import check_may, person_of
from coalmine.chat.settings import ChatSettings, read_settings
from coalmine.errors import InputError, RefusedError
from coalmine.testing.slack import member
from coalmine.testing.slack.workspace import TEAM
from tests.chat.conftest import MANIFEST, SETTINGS

GOOD = """
people: {U024BE7LH: ana@example.org, bo@corp.example: bo@example.org}
email_domains: [Example.org]
groups: {sre: S0614TZR7}
channels:
  - {channel: C0123, environment: production, service: checkout}
  - {channel: C0456}
may: {promote: [sre], read: [anyone]}
digest: {at: "09:00", zone: Europe/Vienna, channel: C0456}
"""


def test_the_example_can_be_used() -> None:
    path = MANIFEST.with_name("chat.yaml")
    assert read_settings(path.read_text(encoding="utf-8"), str(path)).digest is not None


def test_the_first_channel_that_fits_is_taken() -> None:
    settings = read_settings(GOOD, "chat.yaml")
    assert settings.channel_of("production", "checkout", None) == "C0123"
    assert settings.channel_of("production", "cart", "eu") == "C0456"
    assert ChatSettings.model_validate(
        {**SETTINGS, "channels": [{"channel": "C01", "region": "eu"}]}
    ).channel_of("production", "cart", None) is None  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "chat.yaml: it is nothing: write people: and channels:"),
        ("- a", "it is ['a']: write people:"),
        ("a: [", "not YAML"),
        (GOOD + "chanels: []", "chanels: is not known here: did you mean 'channels'?"),
        (GOOD.replace("C0456}\nmay", "'#rollouts'}\nmay"), "channels[1].channel: '#rollouts': write the channel's id"),
        (GOOD.replace("service:", "servce:"), "channels[0].servce: is not known here: did you mean 'service'?"),
        (GOOD.replace("S0614TZR7", "'@sre'"), "groups.sre: '@sre': write the id of a Slack user group"),
        (
            GOOD.replace("U024BE7LH", "ana"),
            "people: 'ana' is neither a Slack user id, such as U024BE7LH, nor an e-mail",
        ),
        (GOOD.replace("U024BE7LH", "BO@corp.example"), "people: 'bo@corp.example' is there twice"),
        (GOOD.replace("promote:", "promot:"), "may: 'promot' is no verb: did you mean 'promote'?"),
        (GOOD.replace('"09:00"', "9"), "digest.at: 9: must be a time of day in quotes"),
        (GOOD.replace("Europe/Vienna", "Vienna"), "digest.zone: 'Vienna': must be a time zone"),
        ("people: {U024BE7LH: ana}", "channels: is missing"),
        ("channels: [{channel: C01}]", "people and email_domains are both empty: nobody could say anything"),
        (GOOD.replace("[Example.org]", "['*']"), "email_domains: '*' is no domain"),
        ("a" * 300_000, "the most is 262,144"),
    ],
)
def test_what_is_wrong_is_told_by_field_value_and_mend(text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_settings(text, "chat.yaml")
    assert said in str(error.value)
    assert str(error.value).startswith("chat.yaml: ")
    assert "\n" not in str(error.value)


def _settings(**changes: Any) -> ChatSettings:
    return ChatSettings.model_validate({**SETTINGS, **changes})


def test_people_are_known_by_id_by_address_and_by_domain() -> None:
    settings = _settings(email_domains=["corp.example"])
    assert person_of(settings, member("U0ANA", "other@corp.example"), TEAM).name == "ana@example.org"
    assert person_of(settings, member("U9", "BO@corp.example"), TEAM).name == "bo@example.org"
    assert person_of(settings, member("U9", "di@corp.example"), TEAM, ["sre"]).groups == ("sre",)
    assert person_of(settings, member("U9", "di@CORP.example"), TEAM).name == "di@CORP.example"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"is_email_confirmed": False}, "does not know who you are (U9)"),
        (
            {"profile": {"email": "di@corp.example.evil.org"}},
            "does not know who you are (U9, di@corp.example.evil.org)",
        ),
        ({"profile": {"email": "di@evil.org@corp.exampl"}}, "does not know"),
        # No address at all, and whoever ends one domain's name with another's.
        ({"profile": {"email": "corp.example"}}, "does not know"),
        ({"profile": {"email": "di@evil-corp.example"}}, "does not know"),
        ({"profile": None}, 'add "U9: you@example.org" to people'),
        ({"is_restricted": True}, "guests"),
        ({"is_ultra_restricted": True}, "guests"),
        ({"is_bot": True}, "bots"),
        ({"is_workflow_bot": True}, "bots"),
        ({"id": "USLACKBOT"}, "bots"),
        ({"is_stranger": True}, "another workspace"),
        ({"team_id": "T0OTHER"}, "another workspace"),
        ({"team_id": None}, "another workspace"),
        ({"deleted": True}, "deactivated"),
    ],
)
def test_whoever_is_not_surely_somebody_is_nobody(more: dict[str, Any], why: str) -> None:
    with pytest.raises(RefusedError) as error:
        person_of(_settings(email_domains=["corp.example"]), member("U9", "di@corp.example", **more), TEAM)
    assert why in str(error.value)


def test_members_of_another_workspace_of_the_organisation_are_known_when_they_belong_to_this_one_too() -> None:
    grid = member("U0ANA", team_id="T0HOME", enterprise_user={"teams": ["T0HOME", TEAM]})
    assert person_of(_settings(), grid, TEAM).name == "ana@example.org"


def test_may_names_groups_and_people() -> None:
    settings = _settings(may={"promote": ["SRE", "bo@example.org"], "pause": ["anyone"], "reject": []})
    ana = person_of(settings, member("U0ANA"), TEAM, ["sre"])
    cy = person_of(settings, member("U0CYR"), TEAM)
    check_may(settings, ana, "promote")
    for verb in ("pause", "rollback", "read"):
        check_may(settings, cy, verb)
    for person, verb in ((cy, "promote"), (ana, "reject")):
        with pytest.raises(RefusedError, match=f"may not say {verb} here"):
            check_may(settings, person, verb)
