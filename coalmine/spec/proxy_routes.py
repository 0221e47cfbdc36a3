"""The keys of routes through a proxy that reads them from files on the worker's host."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from coalmine.spec.base import SpecModel
from coalmine.spec.distinct import distinct
from coalmine.spec.route_users import Mirror, PinnedTesters, Sticky
from coalmine.spec.secret_names import BY_NAME
from coalmine.spec.urls import url_problem

_USERS = f"it is for the worker alone; for a proxy before it, {BY_NAME}"


def _http_url(url: str) -> str:
    problem = url_problem(url, _USERS, parameters=False, named=True)
    if problem:
        raise ValueError(problem)
    return url


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"{path!r} is not a whole path: begin it with /, as the proxy's configuration must too")
    return path


_WholePath = Annotated[str, Field(min_length=1), AfterValidator(_absolute)]


class EnvoyRoute(SpecModel):
    """Envoy reads the route from a file and shows what it uses on its admin interface."""

    files: Annotated[list[Annotated[str, Field(min_length=1)]], AfterValidator(distinct)] = Field(
        min_length=1,
        description="The route files Envoy watches (`rds` by `path_config_source`), on the worker's file system.",
        examples=[["/etc/envoy/routes/checkout.yaml"]],
    )
    admins: Annotated[list[Annotated[str, AfterValidator(_http_url)]], AfterValidator(distinct)] = Field(
        min_length=1,
        description="The admin address of every Envoy that serves the route: each must show the new weights.",
        examples=[["http://127.0.0.1:9901"]],
    )
    sticky: Sticky | None = Field(default=None, description="Users keep their version while the canary grows.")
    testers: PinnedTesters | None = Field(default=None, description="Who meets the new version whatever its weight.")
    mirror: Mirror | None = Field(default=None, description="A copy of requests for the new version.")


def _status_url(url: str) -> str:
    problem = url_problem(url, _USERS, named=True, secrets=False)
    if problem:
        raise ValueError(problem)
    return url


def _socket_address(address: str) -> str:
    host, _, port = address.rpartition(":")
    if address.startswith("/") or (host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return address
    raise ValueError(f"{address!r} is no stats socket: write the path of a unix socket, or HOST:PORT")


class HAProxyRoute(SpecModel):
    """HAProxy deals requests by a map, which it loads from a file and is told anew by its stats socket."""

    files: Annotated[list[_WholePath], AfterValidator(distinct)] = Field(
        min_length=1,
        description="The map files, as HAProxy's configuration names them; each called like the route, with `.map`.",
        examples=[["/etc/haproxy/maps/checkout.map"]],
    )
    sockets: Annotated[list[Annotated[str, AfterValidator(_socket_address)]], AfterValidator(distinct)] = Field(
        min_length=1,
        description="The stats socket of every HAProxy that serves the route, a path or `host:port`, level operator.",
        examples=[["/run/haproxy/admin.sock"]],
    )


class NginxProxy(SpecModel):
    """One nginx on the worker's host."""

    status: Annotated[str, AfterValidator(_status_url)] = Field(
        description="Where a worker process of it returns the route's variable; reachable by Coalmine's worker only.",
        examples=["http://127.0.0.1:8081/coalmine/checkout"],
    )
    config: Annotated[str, AfterValidator(_absolute)] = Field(
        "/etc/nginx/nginx.conf", description="Its configuration, which is tested before every reload."
    )
    pid: Annotated[str, AfterValidator(_absolute)] = Field(
        "/run/nginx.pid", description="The pid file of its master process, which is told to reload."
    )


def _apart(proxies: list[NginxProxy]) -> list[NginxProxy]:
    distinct([proxy.status for proxy in proxies])
    return proxies


class NginxRoute(SpecModel):
    """nginx splits clients by a file it includes, and loads it anew at a reload."""

    files: Annotated[list[_WholePath], AfterValidator(distinct)] = Field(
        min_length=1,
        description="The included files, each with one `split_clients` block of the variable called like the route.",
        examples=[["/etc/nginx/coalmine/checkout.conf"]],
    )
    proxies: Annotated[list[NginxProxy], AfterValidator(_apart)] = Field(
        min_length=1,
        description="Every nginx that serves the route.",
        examples=[[{"status": "http://127.0.0.1:8081/coalmine/checkout"}]],
    )


class TraefikRoute(SpecModel):
    """Traefik watches a file with the weighted service, and shows what it runs on its API."""

    files: Annotated[list[Annotated[str, Field(min_length=1)]], AfterValidator(distinct)] = Field(
        min_length=1,
        description="The files of Traefik's file provider, YAML, each with the weighted service called like the route.",
        examples=[["/etc/traefik/dynamic/checkout.yml"]],
    )
    apis: Annotated[list[Annotated[str, AfterValidator(_http_url)]], AfterValidator(distinct)] = Field(
        min_length=1,
        description="The API of every Traefik that serves the route, without `/api`.",
        examples=[["http://127.0.0.1:8080"]],
    )
