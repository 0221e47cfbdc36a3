"""What Route 53's checkers say of a record: it answers with none that is unhealthy, so a weight would move nobody.

Source: "How Amazon Route 53 determines whether a health check is healthy": healthy while more than 18 % of the checkers
say so. ``GetHealthCheckStatus`` tells nothing of calculated checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from activities.aws_services import AwsPlace, AwsRefused, AwsServices, telling
from coalmine.errors import RouteRejected, RouterUnreachable

HEALTHY_ABOVE = 0.18
"""Share of the checkers."""
_UNTOLD = "InvalidInput"
"""What Route 53 answers for a check of other checks."""


@dataclass(frozen=True)
class Health:
    """Of one record; ``unhealthy`` says why nobody would reach it, ``unread`` why that cannot be known."""

    told: str = ""
    unhealthy: str = ""
    unread: str = ""


async def health_of(services: AwsServices, place: AwsPlace, name: str, record: Mapping[str, Any]) -> Health:
    """What the health check of a record says; nothing where it has none.

    Raises:
        RouterUnreachable: AWS did not answer.
    """
    check = record.get("HealthCheckId")
    if not check:
        return Health()
    about = f"record {name!r}: health check {check}"
    try:
        with telling(RouteRejected, RouterUnreachable, about):
            told = await services.ask(place, "route53", "get_health_check_status", HealthCheckId=check)
    except RouteRejected as error:
        if isinstance(error.__cause__, AwsRefused) and error.__cause__.code == _UNTOLD:
            return Health(told=f"its health check {check} is one of others, of which Route 53 tells no status")
        return Health(unread=str(error))
    said = [str(one.get("StatusReport", {}).get("Status", "")) for one in told["HealthCheckObservations"]]
    if not said:
        return Health(told=f"its health check {check} has no observations")
    healthy = sum(status.startswith("Success") for status in said)
    if healthy > HEALTHY_ABOVE * len(said):
        return Health(told=f"its health check {check} is healthy")
    failed = next(status for status in said if not status.startswith("Success"))
    count = f"{len(said) - healthy} of {len(said)} checkers say {failed!r}"
    return Health(unhealthy=f"{about} is not healthy, so Route 53 answers without it: {count}")
