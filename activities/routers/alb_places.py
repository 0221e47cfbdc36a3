"""Listeners and rules of an ALB as they are now, and the health of target groups."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from activities.aws_services import AwsPlace, AwsRefused, AwsServices, telling
from activities.routers.alb_actions import group_name, groups, shares, with_shares
from coalmine.errors import RouteRejected, RouterError, RouterUnreachable

TAG = "coalmine:generation"
_LISTENER = {"describe": "describe_listeners", "many": "ListenerArns", "found": "Listeners"}
_LISTENER |= {"one": "ListenerArn", "actions": "DefaultActions", "modify": "modify_listener"}
_RULE = {"describe": "describe_rules", "many": "RuleArns", "found": "Rules"}
_RULE |= {"one": "RuleArn", "actions": "Actions", "modify": "modify_rule"}


@dataclass(frozen=True)
class Place:
    """One listener's default action, or one rule's: ``units`` of 0.01 % by target group, and what the tag says."""

    arn: str
    actions: Sequence[Mapping[str, Any]]
    generation: int
    units: Mapping[str, int] = field(default_factory=dict)

    @property
    def live(self) -> dict[str, int]:
        """Target groups that get traffic."""
        return {name: unit for name, unit in self.units.items() if unit}

    @property
    def idle(self) -> str:
        """That nobody gets any traffic, as hands may have left it; empty where somebody does."""
        return "" if self.live else f"{self.arn}: no target group gets any traffic: give one a weight"


class AlbPlaces:
    """Calls of ELBv2 in one region."""

    def __init__(self, services: AwsServices, place: AwsPlace) -> None:
        self._services, self._place = services, place

    async def read(self, arn: str) -> Place:
        """A listener or rule, and its tag.

        Raises:
            RouteRejected: it is not there, or forwards nothing.
            RouterUnreachable: AWS did not answer.
        """
        form = _form(arn)
        described, tagged = await asyncio.gather(
            self._ask(arn, form["describe"], **{form["many"]: [arn]}),
            self._ask(arn, "describe_tags", ResourceArns=[arn]),
        )
        actions = described[form["found"]][0].get(form["actions"], [])
        tags = {tag["Key"]: tag["Value"] for one in tagged["TagDescriptions"] for tag in one["Tags"]}
        said = tags.get(TAG, "0")
        if not said.isdecimal():
            raise RouteRejected(f"{arn}: its tag {TAG} says {said!r}, which is no generation: remove the tag")
        return Place(arn, actions, int(said), shares(actions, arn))

    async def read_all(self, arns: Iterable[str]) -> tuple[dict[str, Place], dict[str, RouterUnreachable]]:
        """Those that could be read, and why the others could not.

        Raises:
            RouteRejected: as ``read``.
        """
        places: dict[str, Place] = {}
        silent: dict[str, RouterUnreachable] = {}

        async def read(arn: str) -> None:
            try:
                places[arn] = await self.read(arn)
            except RouterUnreachable as error:
                silent[arn] = error

        order = list(arns)
        await asyncio.gather(*(read(arn) for arn in order))
        return {arn: places[arn] for arn in order if arn in places}, silent

    async def write(self, place: Place, units: Mapping[str, int], arns: Mapping[str, str], generation: int) -> None:
        """Weights first, then the tag: where it says the generation, its weights were there.

        Raises:
            RouteRejected, RouterUnreachable: as ``read``.
        """
        form = _form(place.arn)
        if place.live != {name: unit for name, unit in units.items() if unit}:
            actions = with_shares(place.actions, units, arns, place.arn)
            await self._ask(place.arn, form["modify"], **{form["one"]: place.arn, form["actions"]: actions})
        if place.generation != generation:
            tags = [{"Key": TAG, "Value": str(generation)}]
            await self._ask(place.arn, "add_tags", ResourceArns=[place.arn], Tags=tags)

    async def resolve(self, names: Iterable[str], places: Iterable[Place]) -> dict[str, str]:
        """ARNs of target groups by name, without those there are none of."""
        found = {group_name(arn): arn for place in places for arn, _ in groups(place.actions, place.arn)}
        for name in names:
            if name not in found:
                try:
                    told = await self._services.ask(self._place, "elbv2", "describe_target_groups", Names=[name])
                    found[name] = told["TargetGroups"][0]["TargetGroupArn"]
                except AwsRefused as error:
                    if error.code not in ("TargetGroupNotFound", "ValidationError"):
                        raise RouteRejected(str(error)) from error
        return found

    async def problem(self, name: str, arns: Mapping[str, str]) -> str:
        """Why a target group must not get traffic; empty when it may.

        Raises:
            RouterUnreachable: AWS did not answer.
        """
        if name not in arns:
            return f"target group {name!r} is not there: make it first"
        told = await self._ask(name, "describe_target_health", TargetGroupArn=arns[name])
        healths = [one["TargetHealth"] for one in told["TargetHealthDescriptions"]]
        if any(health["State"] == "healthy" for health in healths):
            return ""
        if any(health.get("Reason") == "Target.NotInUse" for health in healths):
            mend = "no load balancer uses it, so nobody checks its health: add it to the rule with weight 0"
        else:
            states = sorted({f"{health['State']} {health.get('Reason', '')}".strip() for health in healths})
            mend = f"its targets are {', '.join(states)}" if states else "it has none: register them"
        return f"target group {name!r} has no healthy target: {mend}"

    async def _ask(self, about: str, operation: str, **arguments: Any) -> dict[str, Any]:
        with telling(RouteRejected, RouterUnreachable, about):
            return await self._services.ask(self._place, "elbv2", operation, **arguments)


def first_of(errors: Mapping[str, RouterError]) -> str:
    """All reasons in one line."""
    return "; ".join(str(error) for error in errors.values())


def _form(arn: str) -> dict[str, str]:
    return _RULE if ":listener-rule/" in arn else _LISTENER
