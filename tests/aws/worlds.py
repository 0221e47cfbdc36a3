"""Data planes in a fake AWS that tests make things happen in."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from activities.routers.aws_alb import AlbRouter
from activities.routers.aws_lambda import LambdaRouter
from activities.routers.aws_route53 import Route53Router
from activities.routers.base import Router
from coalmine.records import Weights
from coalmine.spec.canary import Route
from coalmine.testing.aws_faults import AwsFault, add_fault, clear_faults
from coalmine.testing.router_world import Backends, RouterWorld
from tests.aws.lambdas import make_function
from tests.aws.load_balancers import make_load_balancer
from tests.aws.places import client

BUSY = "ServiceUnavailable"
TRIES = 2
"""How often boto3 asks here: a fault that is to be seen stands for both."""


class AwsWorld(RouterWorld):
    """What all have in common: faults by the calls that change something."""

    writes = ""
    """A regular expression for the calls that move weights."""
    places = 1
    """How many such calls one write makes."""

    def __init__(self, url: str, workers: Sequence[Router]) -> None:
        self.url = url
        self._workers = workers
        clear_faults(url)

    @property
    def workers(self) -> Sequence[Router]:
        """See ``RouterWorld``."""
        return self._workers

    def refuse_next(self) -> None:
        """See ``RouterWorld``."""
        add_fault(self.url, AwsFault(self.writes, code="InvalidParameterValueException"))

    def lose_next_answer(self) -> None:
        """See ``RouterWorld``."""
        add_fault(self.url, AwsFault(self.writes, code=BUSY, status=503, times=TRIES * self.places, arrives=True))


class LambdaWorld(AwsWorld):
    """A function in three versions, of which the last failed."""

    backends = Backends("1", "2", "99", "3")
    lacks = {
        "outage": "one API stands for all that run the function",
        "memory": "an alias is an object in AWS: nothing of it restarts",
        "parts": "an alias changes whole or not at all",
    }

    def __init__(self, url: str) -> None:
        super().__init__(url, [LambdaRouter(), LambdaRouter()])
        self.aws = client("lambda")
        self.function = make_function()
        self.writes = f"PUT /2015-03-31/functions/{self.function}/"
        for alias in ("live", "beta"):
            self.aws.create_alias(
                FunctionName=self.function, Name=alias, FunctionVersion="1", Description=f"What {alias} callers use."
            )
        self.fail_version("3")
        self.route = self._route("live")

    @property
    def proxies(self) -> Sequence[str]:
        """See ``RouterWorld``."""
        return [f"{self.function}:live"]

    @property
    def second(self) -> Route:
        """See ``RouterWorld``."""
        return self._route("beta")

    async def meddle(self, weights: Weights) -> None:
        """See ``RouterWorld``."""
        canary = weights.get("2", 0.0) / 100
        self.aws.update_alias(
            FunctionName=self.function,
            Name="live",
            FunctionVersion="1",
            RoutingConfig={"AdditionalVersionWeights": {"2": canary} if canary else {}},
        )

    async def foreign(self) -> object:
        """See ``RouterWorld``."""
        beta = self.aws.get_alias(FunctionName=self.function, Name="beta")
        live = self.aws.get_alias(FunctionName=self.function, Name="live")
        kept = {key: beta[key] for key in ("FunctionVersion", "Description", "RevisionId")}
        return json.dumps([kept, live["Description"].partition(" [")[0]])

    def fail_version(self, version: str, state: str = "Failed") -> None:
        """Let Lambda say that a version is not ready."""
        told = {"State": state, "StateReason": "The image could not be pulled"}
        match = rf"GET /2015-03-31/functions/{self.function}/configuration\?Qualifier={version}\b"
        add_fault(self.url, AwsFault(match, times=-1, merge=told))

    def _route(self, alias: str) -> Route:
        return Route.model_validate({"router": "aws-lambda", "name": self.function, "alias": alias})


class AlbWorld(AwsWorld):
    """A rule and another listener's default action, which move together; other rules beside them."""

    places = 2

    lacks = {
        "outage": "one API stands for all nodes of a load balancer",
        "memory": "listeners and rules are objects in AWS: nothing of them restarts",
    }

    def __init__(self, url: str, fence: Mapping[str, str]) -> None:
        super().__init__(url, [AlbRouter(), AlbRouter()])
        self.elb = client("elbv2")
        prefix = uuid.uuid4().hex[:8]
        self.backends = Backends(*(f"{prefix}-{name}" for name in ("stable", "canary", "ghost", "dead")))
        self.balancer = make_load_balancer(f"{prefix}-")
        self.fence = dict(fence)
        self.route = self._route([self.balancer.rule, self.balancer.listeners[1]])
        self.writes = "Action=(ModifyRule|ModifyListener|AddTags)&"

    @property
    def proxies(self) -> Sequence[str]:
        """See ``RouterWorld``."""
        return [self.balancer.rule, self.balancer.listeners[1]]

    @property
    def second(self) -> Route:
        """See ``RouterWorld``."""
        return self._route([self.balancer.second])

    @property
    def missing(self) -> Route:
        """See ``RouterWorld``."""
        return self._route([f"{self.balancer.rule}0"])

    def cut_next_short(self) -> None:
        """See ``RouterWorld``."""
        add_fault(self.url, AwsFault("Action=ModifyListener", code=BUSY, status=503, times=TRIES))

    async def meddle(self, weights: Weights) -> None:
        """See ``RouterWorld``."""
        groups = [
            {"TargetGroupArn": self.balancer.groups[name], "Weight": round(weight)} for name, weight in weights.items()
        ]
        actions = self.elb.describe_rules(RuleArns=[self.balancer.rule])["Rules"][0]["Actions"]
        actions[1]["ForwardConfig"]["TargetGroups"] = groups
        self.elb.modify_rule(RuleArn=self.balancer.rule, Actions=actions)
        forward = [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]
        self.elb.modify_listener(ListenerArn=self.balancer.listeners[1], DefaultActions=forward)

    async def foreign(self) -> object:
        """See ``RouterWorld``."""
        (shop,) = self.elb.describe_rules(RuleArns=[self.balancer.rule])["Rules"]
        login, forward = shop.pop("Actions")
        others = self.elb.describe_rules(RuleArns=[self.balancer.second, self.balancer.foreign])["Rules"]
        (listener,) = self.elb.describe_listeners(ListenerArns=self.balancer.listeners[:1])["Listeners"]
        (changed,) = self.elb.describe_listeners(ListenerArns=self.balancer.listeners[1:])["Listeners"]
        changed.pop("DefaultActions")
        sticky = forward["ForwardConfig"]["TargetGroupStickinessConfig"]
        return json.dumps([shop, login, sticky, others, listener, changed], sort_keys=True)

    def _route(self, places: Sequence[str]) -> Route:
        return Route.model_validate({"router": "aws-alb", "name": "shop", "places": list(places), **self.fence})


class Route53World(AwsWorld):
    """Weighted records of two types, and others beside them."""

    lacks = {
        "outage": "one API stands for all servers of Route 53",
        "memory": "records are objects in AWS: nothing of them restarts",
        "parts": "a change batch is atomic",
    }

    def __init__(self, url: str, table: str) -> None:
        super().__init__(url, [Route53Router(), Route53Router()])
        self.dns = client("route53")
        self.table = table
        zone = f"{uuid.uuid4().hex[:8]}.example"
        made = self.dns.create_hosted_zone(Name=zone, CallerReference=zone)
        self.zone = made["HostedZone"]["Id"].rpartition("/")[2]
        self.name = f"shop.{zone}"
        self.writes = f"POST /2013-04-01/hostedzone/{self.zone}/rrset"
        self.checks = {name: self._health_check(name) for name in ("canary", "dead")}
        self.fail_health("dead")
        records = [
            {**record, "Weight": weight, **self._own(name)}
            for name, weight in (("stable", 7), ("canary", 0), ("dead", 0))
            for record in (self._record("A", "192.0.2.1"), self._record("AAAA", "2001:db8::1"))
        ]
        records.append(self._record("MX", "10 mail.example."))
        self._change(records)
        self.route = self._route("A")

    @property
    def proxies(self) -> Sequence[str]:
        """See ``RouterWorld``."""
        return [f"A {self.name}"]

    @property
    def second(self) -> Route:
        """See ``RouterWorld``."""
        return self._route("AAAA")

    async def meddle(self, weights: Weights) -> None:
        """See ``RouterWorld``."""
        record = self._record("A", "192.0.2.1")
        self._change([{**record, "Weight": round(weight), **self._own(name)} for name, weight in weights.items()])

    def fail_health(self, name: str, said: str = "Failure: Connection refused. ") -> None:
        """Let checkers say so of a record's health, where moto says that all is well."""
        asked = f"GET /2013-04-01/healthcheck/{self.checks[name]}/status"
        add_fault(self.url, AwsFault(asked, swap=("Success: HTTP Status Code: 200. ", said), times=-1))

    def _own(self, name: str) -> dict[str, Any]:
        check = {"HealthCheckId": self.checks[name]} if name in self.checks else {}
        return {"SetIdentifier": name, **check}

    def _health_check(self, name: str) -> str:
        config = {"Type": "HTTP", "IPAddress": "192.0.2.1", "Port": 80}
        made = self.dns.create_health_check(CallerReference=f"{self.zone}-{name}", HealthCheckConfig=config)
        return str(made["HealthCheck"]["Id"])

    async def foreign(self) -> object:
        """See ``RouterWorld``."""
        records = self.dns.list_resource_record_sets(HostedZoneId=self.zone)["ResourceRecordSets"]
        ours = [{**one, "Weight": 0} if one["Type"] == "A" else one for one in records if one["Type"] != "TXT"]
        return json.dumps(ours, sort_keys=True)

    def _record(self, kind: str, value: str) -> dict[str, Any]:
        return {"Name": self.name, "Type": kind, "TTL": 30, "ResourceRecords": [{"Value": value}]}

    def _change(self, records: Sequence[Mapping[str, Any]]) -> None:
        changes = [{"Action": "UPSERT", "ResourceRecordSet": record} for record in records]
        self.dns.change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch={"Changes": changes})

    def _route(self, kind: str) -> Route:
        return Route.model_validate(
            {"router": "aws-route53", "name": self.name, "zone": self.zone, "type": kind, "fence_table": self.table}
        )
