"""Where the calls for a route in AWS go."""

from __future__ import annotations

from activities.aws_services import AwsPlace
from coalmine.spec.aws_routes import AwsRoute


def aws_place(options: AwsRoute) -> AwsPlace:
    """Region and endpoint of the route, where it names them."""
    return AwsPlace(options.region, options.endpoint)
