"""The keys of routes through Envoys that are told by a control plane (``coalmine xds``)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from coalmine.spec.base import SpecModel
from coalmine.spec.distinct import distinct
from coalmine.spec.route_users import Mirror, PinnedTesters, Sticky
from coalmine.spec.secret_names import BY_NAME, REFERENCE, is_by_name, name_problem
from coalmine.spec.urls import url_problem


def _http_url(url: str) -> str:
    if problem := url_problem(url, BY_NAME, parameters=False, named=True):
        raise ValueError(problem)
    return url


def _by_name(token: str) -> str:
    if problem := name_problem(token):
        raise ValueError(problem)
    if not is_by_name(token):
        # Not shown: it may be the secret itself.
        raise ValueError(f"must not be written out: {BY_NAME}")
    return token


_Token = Annotated[str, AfterValidator(_by_name), Field(json_schema_extra={"pattern": f"^({REFERENCE.pattern})+$"})]


class XdsProxy(SpecModel):
    """One Envoy of the fleet."""

    node: str = Field(min_length=1, description="Its `node.id`, which no other proxy may have.", examples=["edge-1"])
    admin: Annotated[str, AfterValidator(_http_url)] | None = Field(
        default=None,
        description="Its admin address, where the worker reaches it: clusters and endpoints are looked at before a "
        "write, and the route it uses is read there too.",
        examples=["http://10.0.0.11:9901"],
    )


def _apart(proxies: list[XdsProxy]) -> list[XdsProxy]:
    distinct([proxy.node for proxy in proxies])
    distinct([proxy.admin for proxy in proxies if proxy.admin])
    return proxies


class EnvoyXdsRoute(SpecModel):
    """A control plane sends the route to every Envoy, and each says whether it took it."""

    control: Annotated[str, AfterValidator(_http_url)] = Field(
        description="The admin address of the control plane: `coalmine xds --admin`.",
        examples=["http://127.0.0.1:8019"],
    )
    token: _Token | None = Field(
        default=None,
        description="What the control plane asks for (its `COALMINE_XDS_TOKEN`), by name.",
        examples=["${COALMINE_SECRET_XDS}"],
    )
    proxies: Annotated[list[XdsProxy], AfterValidator(_apart)] = Field(
        default=[],
        description="Envoys that must be there, by name. Any other that asks for the route must show it too.",
        examples=[[{"node": "edge-1"}]],
    )
    at_least: int = Field(
        default=1, ge=1, description="How many Envoys must be connected, whatever they are called.", examples=[3]
    )
    sticky: Sticky | None = Field(default=None, description="Users keep their version while the canary grows.")
    testers: PinnedTesters | None = Field(default=None, description="Who meets the new version whatever its weight.")
    mirror: Mirror | None = Field(default=None, description="A copy of requests for the new version.")
