"""A route's own keys, checked by the model of its router."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from coalmine.errors import RouteRejected
from coalmine.spec.canary import Route

_Options = TypeVar("_Options", bound=BaseModel)


def options_of(route: Route, model: type[_Options]) -> _Options:
    """The keys beside ``router`` and ``name``.

    Raises:
        RouteRejected: one is missing, unknown or wrong; names each.
    """
    try:
        return model.model_validate(route.options)
    except ValidationError as error:
        problems = [f"route.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise RouteRejected("; ".join(problems)) from error
