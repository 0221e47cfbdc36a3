"""Route 53 answers with no record that is unhealthy: a canary's health check is read before it gets traffic."""

from __future__ import annotations

from typing import Any

import pytest

from activities.aws_services import AwsPlace, AwsServices
from activities.routers.route53_health import health_of
from coalmine.errors import RouteRejected
from coalmine.testing.aws_faults import AwsFault, add_fault
from coalmine.testing.router_world import back, live, shown, split
from tests.aws.worlds import Route53World


async def test_a_canary_that_became_unhealthy_fails_the_check_and_gets_nothing(route53_world: Route53World) -> None:
    router, route, arms = route53_world.workers[0], route53_world.route, route53_world.backends.arms
    checks = await router.check(route, arms, [10])
    assert any(check.ok and "is healthy" in check.reason for check in checks)
    route53_world.fail_health("canary")
    (failed,) = [check for check in await router.check(route, arms, [10]) if not check.ok]
    assert "record 'canary': health check" in failed.reason
    assert "not healthy, so Route 53 answers without it: 1 of 1 checkers say 'Failure" in failed.reason
    with pytest.raises(RouteRejected, match="not healthy"):
        await router.apply(route, await split(route53_world, 10), 1)
    assert await shown(route53_world) == live(back(route53_world))


async def test_one_that_has_traffic_already_may_have_more_and_the_way_back_asks_nobody(
    route53_world: Route53World,
) -> None:
    router, route = route53_world.workers[0], route53_world.route
    await router.apply(route, await split(route53_world, 100), 1)
    route53_world.checks["stable"] = route53_world.checks["canary"]
    await route53_world.meddle({"stable": 0})
    route53_world.fail_health("canary")
    with pytest.raises(RouteRejected, match="record 'stable': health check"):
        await router.apply(route, await split(route53_world, 50), 2)
    await router.apply(route, back(route53_world), 2, restoring=True)
    assert await shown(route53_world) == live(back(route53_world))


@pytest.mark.parametrize(
    ("code", "ok", "word"),
    [("InvalidInput", True, "tells no status"), ("AccessDenied", False, "route53:GetHealthCheckStatus")],
)
async def test_health_that_is_not_told_keeps_no_step_back(
    route53_world: Route53World, code: str, ok: bool, word: str
) -> None:
    """Route 53 itself keeps users from what is unhealthy: a role of before may go on."""
    router, route = route53_world.workers[0], route53_world.route
    asked = f"GET /2013-04-01/healthcheck/{route53_world.checks['canary']}/status"
    add_fault(route53_world.url, AwsFault(asked, code=code, status=400, times=-1))
    (told,) = [check for check in await router.check(route, ["canary"], [10]) if check.name == "record"]
    assert (told.ok, word in told.reason) == (ok, True)
    await router.apply(route, await split(route53_world, 10), 1)


async def test_health_is_what_a_fifth_of_the_checkers_say() -> None:
    class Said(AwsServices):
        def __init__(self, *said: str) -> None:
            super().__init__()
            self.said = said

        async def ask(self, place: AwsPlace, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
            return {"HealthCheckObservations": [{"StatusReport": {"Status": status}} for status in self.said]}

    failed, good = "Failure: timed out", "Success: HTTP Status Code 200, OK"
    record = {"HealthCheckId": "h"}
    most = await health_of(Said(*[failed] * 4, good), AwsPlace(), "canary", record)
    assert (most.unhealthy, "is healthy" in most.told) == ("", True)
    few = await health_of(Said(*[failed] * 9, good), AwsPlace(), "canary", record)
    assert "9 of 10 checkers say 'Failure: timed out'" in few.unhealthy
    assert "no observations" in (await health_of(Said(), AwsPlace(), "canary", record)).told
