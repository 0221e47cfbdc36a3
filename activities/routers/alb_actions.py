"""The actions of an ALB listener or rule: the shares of their target groups, read and written. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from activities.routers.weights import percents
from coalmine.errors import RouteRejected
from coalmine.spec.aws_routes import ALB_STEP

FINEST = ALB_STEP
_UNITS = 10
"""Of 0.01 % in one weight."""
HEAVIEST = 999
MOST_GROUPS = 5
"""Target groups an action forwards to at most."""
Actions = Sequence[Mapping[str, Any]]


def group_name(arn: str) -> str:
    """The name in a target group's ARN."""
    return arn.rpartition(":targetgroup/")[2].partition("/")[0]


def groups(actions: Actions, where: str) -> list[tuple[str, int]]:
    """Target groups (ARN) of the forward action and their weights, in order.

    Raises:
        RouteRejected: there is no forward action.
    """
    forward = _forward(actions, where)
    found = [(one["TargetGroupArn"], int(one.get("Weight", 1))) for one in _config(forward).get("TargetGroups", ())]
    if not found and "TargetGroupArn" in forward:
        found = [(forward["TargetGroupArn"], 1)]
    return found


def shares(actions: Actions, where: str) -> dict[str, int]:
    """Units of 0.01 % by target group's name; all 0 where none of them gets anything.

    Raises:
        RouteRejected: as ``groups``.
    """
    weights = {group_name(arn): weight for arn, weight in groups(actions, where)}
    if not any(weights.values()):
        return weights
    return {name: round(percent * 100) for name, percent in percents(weights).items()}


def stickiness(actions: Actions, where: str) -> int:
    """Seconds for which a user keeps the target group they had; 0: they do not."""
    told = _config(_forward(actions, where)).get("TargetGroupStickinessConfig") or {}
    return int(told.get("DurationSeconds", 0)) if told.get("Enabled") else 0


def with_shares(
    actions: Actions, units: Mapping[str, int], arns: Mapping[str, str], where: str
) -> list[dict[str, Any]]:
    """The same actions with these shares: groups that are not named get nothing, and all else stays as it is.

    ``arns`` are those of groups the action has not got yet.

    Raises:
        RouteRejected: as ``groups``, or it would have too many groups.
    """
    known = {group_name(arn): arn for arn, _ in groups(actions, where)}
    known |= {name: arns[name] for name, unit in units.items() if unit and name not in known}
    if len(known) > MOST_GROUPS:
        raise RouteRejected(f"{where}: forwards to {len(known)} target groups, at most {MOST_GROUPS}: remove old ones")
    weighted = [
        {"TargetGroupArn": arn, "Weight": min(units.get(name, 0) // _UNITS, HEAVIEST)} for name, arn in known.items()
    ]
    forward = _forward(actions, where)
    kept = {key: value for key, value in forward.items() if key != "TargetGroupArn"}
    changed = {**kept, "ForwardConfig": {**_config(forward), "TargetGroups": weighted}}
    return [_sendable(changed if action is forward else action) for action in actions]


def _sendable(action: Mapping[str, Any]) -> dict[str, Any]:
    """As AWS takes back what it showed: it keeps a login's secret to itself, and wants to be told to go on using it."""
    oidc = action.get("AuthenticateOidcConfig")
    if oidc is None:
        return dict(action)
    return {**action, "AuthenticateOidcConfig": {**oidc, "UseExistingClientSecret": True}}


def _forward(actions: Actions, where: str) -> Mapping[str, Any]:
    for action in actions:
        if action.get("Type") == "forward":
            return action
    raise RouteRejected(f"{where}: has no forward action: weights need one")


def _config(forward: Mapping[str, Any]) -> Mapping[str, Any]:
    return forward.get("ForwardConfig") or {}
