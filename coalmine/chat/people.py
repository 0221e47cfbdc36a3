"""Who somebody in Slack is to Coalmine, and what they may say. Pure: from the settings and what Slack says of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from coalmine.chat.settings import ANYONE, READ, ChatSettings
from coalmine.errors import RefusedError
from coalmine.identity.names import folded


@dataclass(frozen=True)
class Person:
    """Somebody who may speak."""

    user_id: str
    name: str
    """As the specs' ``people`` have it: the ``by`` of what they say."""
    groups: tuple[str, ...] = ()


def person_of(settings: ChatSettings, profile: Mapping[str, Any], team: str, groups: Collection[str] = ()) -> Person:
    """Who this user is.

    Args:
        settings: of the app.
        profile: ``user`` as Slack's ``users.info`` tells it.
        team: the workspace the app belongs to.
        groups: names of the settings' groups this user is in.

    Raises:
        RefusedError: nobody Coalmine knows, or nobody who may speak: says why, and the mend.
    """
    user_id = str(profile.get("id") or "")
    _refuse_strangers(profile, team)
    address = _confirmed_address(profile)
    name = settings.people.get(user_id)
    if name is None and address:
        wanted = {key.casefold(): name for key, name in settings.people.items() if "@" in key}
        name = wanted.get(address.casefold())
        local, _, domain = address.rpartition("@")
        if name is None and local and domain.casefold() in settings.email_domains:
            name = address
    if name is None:
        raise RefusedError(
            f"Coalmine does not know who you are ({user_id}{f', {address}' if address else ''}): ask whoever runs the "
            f'chat app to add "{user_id}: you@example.org" to people in its settings'
        )
    return Person(user_id, name, tuple(sorted(groups)))


def addresses_of(settings: ChatSettings, name: str) -> list[str]:
    """Addresses at which somebody would be this name to ``person_of``; empty when the settings tell of none."""
    wanted = folded(name)
    found = [key for key, known in settings.people.items() if "@" in key and folded(known) == wanted]
    if "@" in name and name.rpartition("@")[2].casefold() in settings.email_domains:
        found.append(name)
    return found


def _refuse_strangers(profile: Mapping[str, Any], team: str) -> None:
    if profile.get("deleted"):
        raise RefusedError("your account is deactivated: nothing was done")
    if profile.get("is_bot") or profile.get("id") == "USLACKBOT" or profile.get("is_workflow_bot"):
        raise RefusedError("bots may not say anything to a rollout: automation uses coalmine in CI")
    if profile.get("is_restricted") or profile.get("is_ultra_restricted"):
        raise RefusedError("guests may not say anything to a rollout: ask a member of this workspace")
    home = {str(profile.get("team_id") or ""), *_teams(profile)}
    if profile.get("is_stranger") or team not in home:
        raise RefusedError("you belong to another workspace: members of this one only may speak to a rollout")


def _teams(profile: Mapping[str, Any]) -> list[str]:
    """The workspaces of an organisation that this user belongs to."""
    enterprise = profile.get("enterprise_user")
    teams = enterprise.get("teams") if isinstance(enterprise, Mapping) else None
    return [str(team) for team in teams] if isinstance(teams, list) else []


def _confirmed_address(profile: Mapping[str, Any]) -> str:
    """Their e-mail; empty when Slack has not confirmed it: anyone could have written it there."""
    inner = profile.get("profile")
    address = str(inner.get("email") or "") if isinstance(inner, Mapping) else ""
    return address if profile.get("is_email_confirmed", True) else ""


def check_may(settings: ChatSettings, person: Person, verb: str) -> None:
    """Let pass, or say who may.

    Raises:
        RefusedError: the settings' ``may`` names others.
    """
    allowed = settings.may.get(verb)
    if allowed is None or ANYONE in allowed:
        return
    names = {folded(person.name), *(folded(group) for group in person.groups)}
    if not names & {folded(one) for one in allowed}:
        what = "look at rollouts here" if verb == READ else f"say {verb} here"
        raise RefusedError(f"{person.name} may not {what}: it is for {', '.join(allowed) or 'nobody'} (may.{verb})")
