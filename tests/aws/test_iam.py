"""Each policy of infra/terraform allows what its adapter calls, and nothing else.

The calls are those botocore makes. That Terraform takes the files was not tried: only their shape is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.aws_services import IAM_PREFIX, AwsPlace, AwsServices
from activities.notifiers.eventbridge import EventBridgeChannel
from activities.notifiers.sns import SnsChannel
from activities.routers.aws_alb import AlbRouter
from activities.routers.aws_lambda import LambdaRouter
from activities.routers.aws_route53 import Route53Router
from activities.routers.base import Router
from activities.sources.cloudwatch import CloudwatchSource
from coalmine.errors import RouteRejected
from coalmine.records import CollectRequest, Notification, Window
from coalmine.spec.canary import Arm, Arms
from coalmine.spec.channels import Notifier
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from coalmine.testing.router_world import RouterWorld, back, split
from tests.aws.places import client
from tests.aws.worlds import AlbWorld, LambdaWorld, Route53World

FOLDER = Path(__file__).parents[2] / "infra" / "terraform"
POLICIES = sorted(path.stem for path in FOLDER.glob("*.tf") if path.stem not in ("variables", "outputs"))
FENCES = {"dynamodb:GetItem", "dynamodb:PutItem"}
_ACTIONS = re.compile(r"\bactions\s*=\s*\[(.*?)\]", re.DOTALL)
_BLOCK = re.compile(r'^(data|resource) "(\w+)" "(\w+)" \{$', re.MULTILINE)


class Recording(AwsServices):
    """Clients that note what they are asked, as IAM calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.called: set[str] = set()

    def _client(self, place: AwsPlace, service: str) -> Any:
        known = (service, place) in self._clients
        made = super()._client(place, service)
        if not known:
            made.meta.events.register(f"before-call.{service}", self._note)
        return made

    def _note(self, model: Any, **_: Any) -> None:
        service = model.service_model.service_name
        self.called.add(f"{IAM_PREFIX.get(service, service)}:{model.name}")


def allowed(policy: str) -> set[str]:
    """The actions of a policy."""
    text = (FOLDER / f"{policy}.tf").read_text()
    return {action for block in _ACTIONS.findall(text) for action in re.findall(r'"([^"]+)"', block)}


async def everything(world: RouterWorld, router: Router) -> None:
    """Every way through a router: read, check, write, repeat, refuse, restore, confirm."""
    await router.check(world.route, [*world.backends.arms, world.backends.unknown], [10.0])
    await router.apply(world.route, await split(world, 10), 1)
    await router.apply(world.route, await split(world, 10), 1)
    world.refuse_next()
    with pytest.raises(RouteRejected):
        await router.apply(world.route, await split(world, 50), 2)
    await router.apply(world.route, back(world), 3, restoring=True)
    await router.confirm(world.route, 3, world.backends.arms)
    await router.read(world.route)


async def test_alb(alb_world: AlbWorld) -> None:
    services = Recording()
    await everything(alb_world, AlbRouter(services))
    assert services.called == allowed("alb") | allowed("fences")


async def test_lambda(lambda_world: LambdaWorld) -> None:
    services = Recording()
    await everything(lambda_world, LambdaRouter(services))
    assert services.called == allowed("lambda")


async def test_route53(route53_world: Route53World) -> None:
    services = Recording()
    await everything(route53_world, Route53Router(services))
    assert services.called == allowed("route53") | FENCES


async def test_cloudwatch(aws_environment: None) -> None:
    services = Recording()
    adapter = CloudwatchSource(services)
    arms = Arms(baseline=Arm(version="1", backend="a"), canary=Arm(version="2", backend="b"))
    source = Source(kind="cloudwatch", scrape=timedelta(minutes=1))
    exact, pattern = ('Errors{namespace="Shop",Version="{arm.version}"}', 'Errors{namespace="Shop",V=~"{arm.version}"}')
    for events in (exact, pattern):
        metric = Metric(name="errors", kind="count", source="cloudwatch", events=events)
        await adapter.check(source, metric, arms)
        end = datetime(2026, 11, 1, tzinfo=UTC)
        window = Window(start=end - timedelta(minutes=5), end=end)
        request = CollectRequest(window=window, metrics=[metric], arms=arms, sources={"cloudwatch": source})
        await adapter.collect(source, metric, request)
    assert services.called == allowed("cloudwatch")


def _sns(services: AwsServices, said: Notification) -> Awaitable[None]:
    topic = client("sns").create_topic(Name="iam")["TopicArn"]
    return SnsChannel(services).send(Notifier(kind="sns", topic=topic), said)


def _eventbridge(services: AwsServices, said: Notification) -> Awaitable[None]:
    return EventBridgeChannel(services).send(Notifier(kind="eventbridge", bus="default"), said)


@pytest.mark.parametrize(("policy", "send"), [("sns", _sns), ("eventbridge", _eventbridge)])
async def test_notifiers(
    aws_environment: None, policy: str, send: Callable[[AwsServices, Notification], Awaitable[None]]
) -> None:
    services = Recording()
    await send(services, Notification(title="a", text="b", rollout_id="c", key="d"))
    assert services.called == allowed(policy)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_has_the_shape_of_all(name: str) -> None:
    text = (FOLDER / f"{name}.tf").read_text()
    assert _BLOCK.findall(text) == [
        ("data", "aws_iam_policy_document", name), ("resource", "aws_iam_policy", name),
    ]  # fmt: skip
    for opening, closing in ("{}", "[]", "()"):
        assert text.count(opening) == text.count(closing)
    assert not any("*" in action for action in allowed(name))
    assert set(re.findall(r"var\.(\w+)", text)) <= set(re.findall(r'variable "(\w+)"', _read("variables")))
    assert f"aws_iam_policy.{name}[*].arn" in _read("outputs")


def _read(name: str) -> str:
    return (FOLDER / f"{name}.tf").read_text()
