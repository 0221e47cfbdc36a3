"""The route of a first spec: for each router that flags can describe, which of them, and the lines they come to."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from coalmine.cli._asking import Asking
from coalmine.cli._first_text import listed, scalar
from coalmine.cli._parser import Args, Parser
from coalmine.errors import InputError
from coalmine.spec.faults import did_you_mean
from coalmine.spec.route_files import nginx_name_problem

STEPS = (1.0, 10.0, 25.0, 50.0)


@dataclass(frozen=True)
class Key:
    """A key of ``route`` that no default stands for."""

    name: str
    flag: str
    question: str
    comment: str = ""
    several: bool = True

    @property
    def dest(self) -> str:
        """Its name among the arguments."""
        return self.flag.removeprefix("--").replace("-", "_")


@dataclass(frozen=True)
class Plane:
    """A router: what its route is called, what it needs, and whose metrics tell its arms apart."""

    named: str
    """What ``route.name`` is, for whoever is asked."""
    keys: Sequence[Key]
    template: str = ""
    """Its own; empty: it has none, or none that goes by an arm's ``backend``."""
    comment: str = ""
    one_program: bool = False
    """Both arms are in one process, with one version on all it counts: no template tells them apart."""

    @property
    def templates(self) -> Sequence[str]:
        """Those that can be read of it, its own first."""
        if self.one_program:
            return ()
        return (self.template, "http") if self.template else ("http",)


def _files(what: str, comment: str = "on the worker's disk") -> Key:
    return Key("files", "--route-file", what, comment)


_ENVOY_NAME = "name of the route configuration"
_NAMESPACE = "its namespace"
_FENCE = Key("fence_table", "--fence-table", "the DynamoDB table that keeps who may write", several=False)
PLANES: Mapping[str, Plane] = {
    "envoy": Plane(
        _ENVOY_NAME,
        (
            _files("route files, on the worker's disk"),
            Key(
                "admins",
                "--admin",
                "admin addresses of the Envoys, such as http://127.0.0.1:9901",
                "of every Envoy that serves the route",
            ),
        ),
        "envoy",
    ),
    "envoy-xds": Plane(
        _ENVOY_NAME,
        (Key("control", "--control", "admin address of coalmine xds, such as http://127.0.0.1:8019", several=False),),
        "envoy",
        "proxies, at_least, token: docs/envoy-xds.md",
    ),
    "haproxy": Plane(
        "name of the route: the map file's, without .map",
        (
            _files("map files, as HAProxy's configuration names them", "as HAProxy's configuration names it"),
            Key(
                "sockets",
                "--socket",
                "stats sockets, such as /run/haproxy/admin.sock or HOST:PORT",
                "of every HAProxy that serves the route",
            ),
        ),
        "haproxy",
    ),
    "nginx": Plane(
        "name of the route: the variable of split_clients, without $",
        (
            _files("included files with the split_clients block, whole paths"),
            Key("proxies", "--status", "status addresses of the nginxes, such as http://127.0.0.1:8081/coalmine/shop"),
        ),
        comment="config and pid, where they are not /etc/nginx/nginx.conf and /run/nginx.pid: docs/nginx.md",
    ),
    "traefik": Plane(
        "name of the weighted service",
        (
            _files("files of Traefik's file provider, YAML"),
            Key(
                "apis",
                "--api",
                "API addresses of the Traefiks, without /api, such as http://127.0.0.1:8080",
                "of every Traefik that serves the route",
            ),
        ),
        "traefik",
    ),
    "aws-alb": Plane(
        "name of the route",
        (Key("places", "--place", "ARNs of the listeners and rules whose weights move together"), _FENCE),
        comment="region, endpoint; fence_folder, where all workers run on one host: docs/aws.md",
    ),
    "aws-lambda": Plane(
        "name of the function",
        (Key("alias", "--alias", "the alias that callers use", several=False),),
        comment="region, endpoint: docs/aws.md",
    ),
    "aws-route53": Plane(
        "name of the records, such as checkout.shop.example",
        (Key("zone", "--zone", "id of the hosted zone", several=False), _FENCE),
        comment="type, where it is not A; region, endpoint, fence_folder: docs/aws.md",
    ),
    "flagd": Plane(
        "key of the flag",
        (Key("places", "--place", "files of flag definitions, .json or s3://BUCKET/KEY.json"),),
        comment="testers: docs/flags.md",
        one_program=True,
    ),
    "kubernetes-gateway": Plane("name of the HTTPRoute", (Key("namespace", "--namespace", _NAMESPACE, several=False),)),
    "kubernetes-istio": Plane(
        "name of the VirtualService",
        (Key("namespace", "--namespace", _NAMESPACE, several=False),),
        comment="istiod_status: false, where istiod writes no status: docs/kubernetes.md",
    ),
    "kubernetes-replicas": Plane(
        "name of the Service",
        (
            Key("namespace", "--namespace", _NAMESPACE, several=False),
            Key("replicas", "--replicas", "pods of both Deployments together", "a step is one of them", several=False),
        ),
    ),
}
_PAGES = {"temporal-worker": "temporal-workers.md"}
"""Routers whose arms are not read from a Prometheus at all: where a whole spec stands instead."""


def add_options(parser: Parser) -> None:
    """The flags of all planes."""
    known = ", ".join(PLANES)
    parser.add_argument("--router", metavar="NAME", type=_router, default="envoy", help=f"{known} (default: envoy)")
    parser.add_argument("--route", metavar="NAME", help="the route's name in the router (default: the service's name)")
    for dest, (key, routers) in _keys().items():
        fallback = "URL" if "address" in key.question else "NAME"
        metavar = {"files": "FILE", "sockets": "SOCKET", "places": "PLACE", "replicas": "N"}.get(key.name, fallback)
        asked: dict[str, list[str]] = {}
        for router in routers:
            asked.setdefault(_of(router, dest).question, []).append(router)
        of = "; ".join(f"{', '.join(names)}: {question}" for question, names in asked.items())
        if key.several:
            parser.add_argument(
                key.flag, dest=dest, metavar=metavar, action="append", default=[], help=f"{of} (repeatable)"
            )
        else:
            parser.add_argument(key.flag, dest=dest, metavar=metavar, help=of)


def _keys() -> dict[str, tuple[Key, list[str]]]:
    """By argument: the first key that it is for, and the routers that have one."""
    found: dict[str, tuple[Key, list[str]]] = {}
    for router, plane in PLANES.items():
        for key in plane.keys:
            found.setdefault(key.dest, (key, []))[1].append(router)
    return found


def _of(router: str, dest: str) -> Key:
    return next(key for key in PLANES[router].keys if key.dest == dest)


def _router(name: str) -> str:
    if name in PLANES:
        return name
    if page := _PAGES.get(name):
        raise argparse.ArgumentTypeError(
            f"init writes no spec for {name}: what its route and its metrics need stands in docs/{page}, with a spec "
            f"to copy; it writes {', '.join(PLANES)}"
        )
    known = [*PLANES, *_PAGES]
    raise argparse.ArgumentTypeError(f"{name!r} is no router{did_you_mean(name, known)}")


def check_flags(args: Args) -> None:
    """Refuse a flag of another router, and a template this one has not.

    Raises:
        InputError: names the flag, and what the router takes.
    """
    plane = PLANES[args.router]
    flags = [key.flag for key in plane.keys]
    for dest, (key, routers) in _keys().items():
        if getattr(args, dest) and key.flag not in flags:
            raise InputError(
                f"{key.flag}: it is of {', '.join(routers)}, and the router is {args.router}, which takes "
                f"{', '.join(flags)}"
            )
    if args.template is not None and args.template not in plane.templates:
        raise InputError(
            f"--template: {args.template!r} cannot be read of {args.router}: "
            f"{''.join(f'take {name}, or ' for name in plane.templates)}write selectors by --total and --errors"
        )


def name_of(args: Args, asking: Asking, service: str) -> str:
    """What the route is called.

    Raises:
        InputError: nobody said, and it cannot be the service's name.
    """
    proposal = service
    if args.router == "haproxy" and args.route_file:
        proposal = PurePath(args.route_file[0]).stem
    if args.router in ("aws-route53", "flagd") or (args.router == "nginx" and nginx_name_problem(service)):
        proposal = ""  # The name of records or of a flag is hardly ever the service's.
    return asking.text("--route", args.route, PLANES[args.router].named, proposal)


def values_of(args: Args, asking: Asking) -> dict[str, str | list[str]]:
    """The router's keys and their values.

    Raises:
        InputError: one is missing; names its flag.
    """
    found: dict[str, str | list[str]] = {}
    for key in PLANES[args.router].keys:
        given = getattr(args, key.dest)
        if key.several:
            found[key.name] = asking.several(key.flag, given, key.question)
        else:
            found[key.name] = asking.text(key.flag, given, key.question)
        if key.name == "replicas" and not _is_count(str(found[key.name])):
            raise InputError(f"{key.flag}: {found[key.name]!r} is no number of pods: write 2 or more, such as 20")
    return found


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text[:9]) >= 2


def route_lines(router: str, name: str, values: Mapping[str, str | list[str]]) -> list[str]:
    """``route:``, as YAML."""
    plane = PLANES[router]
    lines = ["route:", f"  router: {router}", f"  name: {scalar(name)}"]
    for key in plane.keys:
        value = values[key.name]
        comment = f"    # {key.comment}" if key.comment else ""
        if key.name == "proxies":
            lines += ["  proxies:", *(f"    - status: {scalar(url)}" for url in value)]
        elif key.name == "replicas":
            lines.append(f"  replicas: {value}{comment}")
        else:
            lines.append(f"  {key.name}: {scalar(value) if isinstance(value, str) else listed(value)}{comment}")
    return [*lines, *([f"  # {plane.comment}"] if plane.comment else [])]


def steps_of(values: Mapping[str, str | list[str]]) -> list[float]:
    """The usual steps; where weights are pods, the whole pods next above them."""
    if "replicas" not in values:
        return list(STEPS)
    pods = int(str(values["replicas"]))
    counts = sorted({math.ceil(weight * pods / 100) for weight in STEPS})
    return [count * 100 / pods for count in counts if count < pods]
