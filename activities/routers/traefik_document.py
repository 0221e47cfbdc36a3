"""A file of Traefik's file provider: a route's weighted service, and a middleware nobody uses that has our version.

Traefik takes a file whole, so who shows the version runs the weights.
Source: https://doc.traefik.io/traefik/reference/routing-configuration/http/load-balancing/service/ ("weighted").
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from ruamel.yaml.error import YAMLError

from activities.routers.splits import Reading, Shown, Split, Terms, Version
from activities.routers.yaml_files import parse_yaml, shared, shared_problem, yaml_text
from coalmine.errors import RouteRejected
from coalmine.spec.route_files import traefik_file_problem

TRAEFIK = Terms("service", "http.services.NAME.weighted.services")
HEADER = "X-Coalmine-Route"


class TraefikDocument:
    """A dynamic configuration that was read: the weights of one weighted service are written, all else stays."""

    def __init__(self, path: str, text: str, name: str) -> None:
        if problem := traefik_file_problem(path):
            raise RouteRejected(problem)
        self._path = path
        self._name = name
        self._text = text
        try:
            self._content = parse_yaml(text)
        except YAMLError as error:
            raise RouteRejected(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
        try:
            services = self._content["http"]["services"]
            self._service = services[name]
            self._weighted = self._service["weighted"]
            self._split = split_of(self._weighted["services"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RouteRejected(
                f"{path}: holds no weighted service {name!r} ({error!r}): write http: {{services: {{{name}: "
                "{weighted: {services: [{name: NAME, weight: 100}]}}}}"
            ) from error
        # A key that was left empty is there, as null.
        self._middlewares = {} if (there := self._content["http"].get("middlewares")) is None else there
        if not isinstance(self._middlewares, MutableMapping):
            raise RouteRejected(f"{path}: http.middlewares is no mapping of names: mend the file")

    def reading(self) -> Reading:
        """What it says now."""
        return Reading(self._path, self._version(), (self._split,), self._split.clusters)

    def set_weights(self, units: Mapping[str, int]) -> int:
        """Give the services these weights; who gets nothing leaves, unless the file says more of it."""
        services = self._weighted["services"]
        if shared(self._content, self._service, [self._weighted, services, *services]):
            raise RouteRejected(shared_problem(self._path, self._name))
        there = [service["name"] for service in services]
        for index in reversed(range(len(services))):
            service = services[index]
            service["weight"] = units.get(service["name"], 0)
            if not service["weight"] and len(service) == 2:
                del services[index]
        services += [{"name": name, "weight": unit} for name, unit in units.items() if unit and name not in there]
        self._split = split_of(services)
        return 1

    def stamp(self, generation: int) -> None:
        """Write the version for this generation."""
        version = Version.with_weights(generation, repr(self._split.shares), [self._split])
        self._middlewares[carrier(self._name)] = {"headers": {"customRequestHeaders": {HEADER: version.text}}}
        self._content["http"]["middlewares"] = self._middlewares

    def render(self) -> str:
        """The text of the file."""
        return yaml_text(self._content, self._text)

    def _version(self) -> Version:
        return version_of(self._middlewares.get(carrier(self._name)))


def carrier(name: str) -> str:
    """What the middleware of a route is called."""
    return f"{name}-coalmine"


def version_of(middleware: object) -> Version:
    """The version a middleware carries, as the file or the API has it; none is nobody's."""
    found: object = middleware
    for key in ("headers", "customRequestHeaders", HEADER):
        found = found.get(key) if isinstance(found, MutableMapping) else None
    return Version(found if isinstance(found, str) else "")


def split_of(services: Any) -> Split:
    """The services of a weighted one; weight 1 where none is said, as Traefik has it.

    Raises:
        KeyError, TypeError, ValueError: they cannot be read.
    """
    shares = tuple((str(one["name"]), int(one.get("weight", 1))) for one in services)
    return Split("weighted", shares, weighted=True)


def shown_of(raw: Mapping[str, Any], name: str) -> Shown:
    """The route in an answer of ``/api/rawdata``; a weighted service with an unknown one in it serves nobody."""
    service = raw.get("services", {}).get(f"{name}@file")
    if service is None or "weighted" not in service:
        return Shown(None)
    version = version_of(raw.get("middlewares", {}).get(f"{carrier(name)}@file"))
    problem = "" if service.get("status") == "enabled" else "; ".join(service.get("error") or ["it is not enabled"])
    return Shown(version, (split_of(service["weighted"]["services"]),), problem)
