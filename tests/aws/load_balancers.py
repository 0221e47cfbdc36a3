"""Application load balancers to move weights of."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from tests.aws.places import client

LOGIN = {
    "UserPoolArn": "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/shop",
    "UserPoolClientId": "shop",
    "UserPoolDomain": "shop",
}


@dataclass(frozen=True)
class LoadBalancer:
    """One with two listeners: a rule of the first and the second's default action belong to the shop."""

    groups: dict[str, str]
    """ARNs by name."""
    listeners: list[str]
    rule: str
    second: str
    foreign: str
    """A rule of somebody else's."""


def make_load_balancer(prefix: str = "") -> LoadBalancer:
    """Make one whose groups are called ``<prefix>stable``, ``canary``, ``dead`` (without a target)."""
    ec2, elb = client("ec2"), client("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{at}.0/24", AvailabilityZone=f"eu-west-1{zone}")["Subnet"]
        for at, zone in enumerate("ab")
    ]
    name = f"shop-{uuid.uuid4().hex[:8]}"
    made = elb.create_load_balancer(Name=name, Subnets=[subnet["SubnetId"] for subnet in subnets])["LoadBalancers"][0]
    groups = {f"{prefix}{group}": _group(elb, f"{prefix}{group}", vpc) for group in ("stable", "canary", "dead")}
    stable = groups[f"{prefix}stable"]
    listeners = [
        elb.create_listener(
            LoadBalancerArn=made["LoadBalancerArn"],
            Protocol="HTTP",
            Port=port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": stable}],
        )["Listeners"][0]["ListenerArn"]
        for port in (80, 8080)
    ]
    sticky = {"Enabled": True, "DurationSeconds": 60}
    shop: list[dict[str, Any]] = [
        {"Type": "authenticate-cognito", "Order": 1, "AuthenticateCognitoConfig": LOGIN},
        {
            "Type": "forward",
            "Order": 2,
            "ForwardConfig": {
                "TargetGroups": [{"TargetGroupArn": stable, "Weight": 1}],
                "TargetGroupStickinessConfig": sticky,
            },
        },
    ]
    forward = [{"Type": "forward", "TargetGroupArn": stable}]
    rule, second, foreign = (
        _rule(elb, listeners[0], priority, path, actions)
        for priority, path, actions in ((5, "/shop*", shop), (6, "/beta*", forward), (7, "/admin*", forward))
    )
    return LoadBalancer(groups, listeners, rule, second, foreign)


def _group(elb: Any, name: str, vpc: str) -> str:
    made = elb.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")["TargetGroups"][0]
    arn: str = made["TargetGroupArn"]
    if not name.endswith("dead"):
        elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.0.0.5", "Port": 80}])
    return arn


def _rule(elb: Any, listener: str, priority: int, path: str, actions: list[dict[str, Any]]) -> str:
    conditions = [{"Field": "path-pattern", "Values": [path]}]
    made = elb.create_rule(ListenerArn=listener, Priority=priority, Conditions=conditions, Actions=actions)
    arn: str = made["Rules"][0]["RuleArn"]
    return arn
