"""A route's own keys where it is in AWS."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from activities.aws_services import AwsPlace
from coalmine.errors import RouteRejected
from coalmine.spec.aws_routes import AwsRoute
from coalmine.spec.canary import Route

Options = TypeVar("Options", bound=AwsRoute)


def aws_options(route: Route, model: type[Options]) -> Options:
    """The keys, read as ``model``.

    Raises:
        RouteRejected: one is missing, unknown or wrong.
    """
    try:
        return model.model_validate(route.options)
    except ValidationError as error:
        problems = [f"{'.'.join(('route', *map(str, one['loc'])))}: {one['msg']}" for one in error.errors()]
        raise RouteRejected("; ".join(problems)) from error


def aws_place(options: AwsRoute) -> AwsPlace:
    """Where its calls go."""
    return AwsPlace(options.region, options.endpoint)
