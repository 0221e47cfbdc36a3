"""The keys each router has in ``route`` besides ``router`` and ``name``: what ``Route.options`` holds."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from coalmine.spec.canary import SpecModel
from coalmine.spec.route_users import Mirror, PinnedMatch, PinnedTesters, Sticky
from coalmine.spec.secret_names import BY_NAME
from coalmine.spec.urls import url_problem


def _http_url(url: str) -> str:
    mend = f"Envoy's admin interface knows no users; for a proxy before it, {BY_NAME}"
    problem = url_problem(url, mend, parameters=False, named=True)
    if problem:
        raise ValueError(problem)
    return url


def _distinct(values: list[str]) -> list[str]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{twice[0]!r} is listed twice: each is named once")
    return values


class EnvoyRoute(SpecModel):
    """Envoy reads the route from a file and shows what it uses on its admin interface."""

    files: Annotated[list[Annotated[str, Field(min_length=1)]], AfterValidator(_distinct)] = Field(
        min_length=1,
        description="The route files Envoy watches (`rds` by `path_config_source`), on the worker's file system.",
        examples=[["/etc/envoy/routes/checkout.yaml"]],
    )
    admins: Annotated[list[Annotated[str, AfterValidator(_http_url)]], AfterValidator(_distinct)] = Field(
        min_length=1,
        description="The admin address of every Envoy that serves the route: each must show the new weights.",
        examples=[["http://127.0.0.1:9901"]],
    )
    sticky: Sticky | None = Field(default=None, description="Users keep their version while the canary grows.")
    testers: PinnedTesters | None = Field(default=None, description="Who meets the new version whatever its weight.")
    mirror: Mirror | None = Field(default=None, description="A copy of requests for the new version.")


ROUTE_OPTIONS: dict[str, type[SpecModel]] = {"envoy": EnvoyRoute}
"""The routers of this package, and the model of their keys. Routers of other distributions check their own."""
USER_KEYS: tuple[type[SpecModel], ...] = (Sticky, PinnedTesters, PinnedMatch, Mirror)
"""What those models are made of."""
