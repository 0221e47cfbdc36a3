"""The file Envoy reads a route from: a DiscoveryResponse with one RouteConfiguration, in JSON or YAML by its name.

``version_info`` is ``<generation>:<hash of the configuration>:<hash of the weights>:coalmine``. Envoy does not order
versions, so the generation is the fence: it is compared under a lock on the host right before the file is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any

from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from activities.routers.envoy_routes import (
    RouteConfiguration,
    field,
    parts_moved,
    put,
    set_weights,
    splits,
)
from activities.routers.envoy_users import NOBODY, Users, add, clusters_kept, shared, strip
from activities.routers.splits import Reading, Version, managed
from activities.routers.yaml_files import parse_yaml, shared_problem, yaml_text
from activities.routers.yaml_files import shared as shared_elsewhere
from coalmine.errors import RouteRejected
from coalmine.spec.route_files import ENVOY_FORMATS, envoy_file_problem


class RouteDocument:
    """A route file that was read: its weights can be changed, everything else stays as it was written."""

    def __init__(self, path: str, text: str, name: str, users: Users = NOBODY) -> None:
        """Understand ``text`` as the route ``name``; what ``users`` ask for is written with the weights.

        Raises:
            RouteRejected: it is not JSON or YAML, or holds no such RouteConfiguration.
        """
        self._path = path
        self._name = name
        self._users = users
        self._format = file_format(path)
        self._text = text
        self._response = parse(path, text)
        self._configuration = self._find()
        self._moved: Collection[str] = ()

    @property
    def configuration(self) -> RouteConfiguration:
        """The RouteConfiguration as it is now."""
        return self._configuration

    def reading(self) -> Reading:
        """What it says now.

        Raises:
            RouteRejected: an entry cannot be understood.
        """
        try:
            return Reading(
                path=self._path,
                version=Version(str(field(self._response, "version_info") or "")),
                splits=tuple(splits(self._configuration)),
                clusters=frozenset(clusters_kept(self._configuration)),
            )
        except RouteRejected as error:
            raise RouteRejected(f"{self._path}: {error}") from error
        except (TypeError, AttributeError) as error:
            raise RouteRejected(f"{self._path}: is not a RouteConfiguration Envoy would take ({error!r})") from error

    def set_weights(self, units: Mapping[str, int], users: Users | None = None) -> int:
        """Change the weights of the entries that name these clusters; returns how many there are.

        What ``users`` ask for is there while two clusters share the traffic; what an earlier write left goes.
        Envoy is told to refuse a cluster it does not know: otherwise it would answer 503 for that share.

        Raises:
            RouteRejected: they stand for more than this route, or an entry has its own say on what ``users`` ask for.
        """
        if shared_elsewhere(self._response, self._configuration, parts_moved(self._configuration, units)):
            raise RouteRejected(shared_problem(self._path, self._name))
        put(self._configuration, "validate_clusters", True)
        strip(self._configuration)
        changed = set_weights(self._configuration, units)
        self._moved = list(units)
        if shared(units):
            try:
                add(self._configuration, self._users if users is None else users, units)
            except RouteRejected as error:
                raise RouteRejected(f"{self._path}: {error}") from error
        return changed

    def stamp(self, generation: int) -> None:
        """Write the version for this generation.

        It says which weights were given; other people's entries may change theirs under it.
        """
        content = json.dumps(self._configuration, sort_keys=True, default=str)
        version = Version.with_weights(generation, content, managed(self.reading().splits, self._moved))
        put(self._response, "version_info", DoubleQuotedScalarString(version.text))

    def render(self) -> str:
        """The text of the file."""
        if self._format == "json":
            return json.dumps(self._response, indent=_json_indent(self._text), ensure_ascii=False) + "\n"
        return yaml_text(self._response, self._text)

    def _find(self) -> RouteConfiguration:
        configurations = route_configurations(self._path, self._response)
        if self._name in configurations:
            return configurations[self._name]
        found = f"it has {', '.join(map(repr, configurations))}" if configurations else "it has none"
        raise RouteRejected(
            f"{self._path}: holds no RouteConfiguration named {self._name!r} ({found}): route.name is the "
            "route_config_name of Envoy's rds"
        )


def parse(path: str, text: str) -> Any:
    """The content of a route file.

    Raises:
        RouteRejected: it is not JSON or YAML, whichever its name says.
    """
    form = file_format(path)
    try:
        return json.loads(text) if form == "json" else parse_yaml(text)
    except (ValueError, YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise RouteRejected(f"{path}: is not valid {form.upper()}: {reason}") from error


def route_configurations(path: str, response: Any) -> dict[str, RouteConfiguration]:
    """Every RouteConfiguration of a route file by its name; of two with one name the first.

    Raises:
        RouteRejected: it is no DiscoveryResponse.
    """
    if not isinstance(response, dict) or not isinstance(response.get("resources"), list):
        raise RouteRejected(
            f"{path}: is not a DiscoveryResponse: write version_info and resources: [the RouteConfiguration]"
        )
    found: dict[str, RouteConfiguration] = {}
    for resource in response["resources"]:
        # A resource may be wrapped in envoy.service.discovery.v3.Resource.
        inner = resource.get("resource", resource) if isinstance(resource, dict) else None
        if isinstance(inner, dict) and "RouteConfiguration" in str(inner.get("@type")):
            found.setdefault(str(inner.get("name", "")), inner)
    return found


def file_format(path: str) -> str:
    """``json`` or ``yaml``: Envoy goes by the name, so we do.

    Raises:
        RouteRejected: the name ends in something else.
    """
    if problem := envoy_file_problem(path):
        raise RouteRejected(problem)
    return ENVOY_FORMATS[PurePath(path).suffix]


def _json_indent(text: str) -> int | None:
    """The indentation a JSON text has, None when it is on one line."""
    _, newline, second = text.strip().partition("\n")
    return (len(second) - len(second.lstrip(" ")) or 2) if newline else None
