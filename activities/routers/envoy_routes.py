"""Envoy's RouteConfiguration as a mapping: which entries share traffic between which clusters, and changing that.

Works on what Envoy reads (file) and on what it shows (admin), so that both are understood alike. Field names may be
written ``snake_case`` or ``camelCase``: Envoy takes both.
Source: envoy.config.route.v3.RouteConfiguration, VirtualHost, RouteAction, WeightedCluster.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from activities.routers.weights import TOTAL, percents
from coalmine.errors import RouteRejected
from coalmine.records import Weights

RouteConfiguration = MutableMapping[str, Any]


@dataclass(frozen=True)
class Split:
    """One route entry, and the units each of its clusters gets, in Envoy's order.

    ``runtime_key`` is set when Envoy's runtime may override the units, so that they need not be true.
    """

    where: str
    shares: tuple[tuple[str, int], ...]
    weighted: bool
    runtime_key: str = ""

    @property
    def clusters(self) -> frozenset[str]:
        """The clusters it names."""
        return frozenset(name for name, _ in self.shares)

    @property
    def live(self) -> Weights:
        """Percent by cluster, of those that get traffic."""
        return {name: weight for name, weight in self.weights().items() if weight}

    def weights(self, backends: Collection[str] = ()) -> Weights:
        """Percent by cluster; those of ``backends`` it does not name have 0."""
        return {**dict.fromkeys(backends, 0.0), **percents(dict(self.shares))}


def field(mapping: Mapping[str, Any], name: str) -> Any:
    """The value of a field in either spelling, None when it is not set."""
    return mapping.get(name, mapping.get(_camel(name)))


def put(mapping: MutableMapping[str, Any], name: str, value: Any) -> None:
    """Set a field in the spelling it has already."""
    mapping[_camel(name) if _camel(name) in mapping else name] = value


def splits(configuration: RouteConfiguration) -> list[Split]:
    """All entries that send traffic to clusters by name, in order.

    Raises:
        RouteRejected: an entry cannot be understood, or all its weights are zero.
    """
    found = [_split(where, action) for where, action in _actions(configuration)]
    return [split for split in found if split.shares]


def managed(found: Collection[Split], backends: Collection[str]) -> list[Split]:
    """The entries that name one of ``backends``; without any, those with weighted clusters, else all."""
    if backends:
        return [split for split in found if split.clusters & set(backends)]
    return [split for split in found if split.weighted] or list(found)


def agreed_weights(found: Collection[Split], backends: Collection[str], name: str) -> Weights:
    """Percent by cluster, the same in every managed entry.

    Raises:
        RouteRejected: no entry is managed, or they share the traffic differently.
    """
    ours = managed(found, backends)
    if not ours:
        raise RouteRejected(no_entry(name, backends))
    first = ours[0].live
    if any(split.live != first for split in ours):
        shown = "; ".join(f"{split.where}: {_listed(split.live)}" for split in ours)
        raise RouteRejected(
            f"the entries of route {name!r} share traffic differently ({shown}): give them equal weights, or give the "
            "entries that are not to move clusters of their own"
        )
    return ours[0].weights(backends)


def no_entry(name: str, backends: Collection[str]) -> str:
    """What to say when nothing in the route is ours."""
    if not backends:
        return f"route {name!r} sends no traffic to a cluster: give it an entry with route.weighted_clusters"
    names = " or ".join(repr(backend) for backend in backends)
    return (
        f"no entry of route {name!r} names {names}: name the clusters in route.weighted_clusters (or route.cluster) of "
        "the entries whose traffic is to move"
    )


def clusters_named(configuration: RouteConfiguration) -> set[str]:
    """Every cluster the configuration sends or mirrors traffic to: those Envoy validates."""
    named: set[str] = set()
    for _, action in _actions(configuration):
        named.update(cluster for cluster, _ in shares(action))
        for mirror in field(action, "request_mirror_policies") or []:
            named.update([mirror["cluster"]] if isinstance(mirror, Mapping) and mirror.get("cluster") else [])
    return named


def set_weights(configuration: RouteConfiguration, units: Mapping[str, int]) -> int:
    """Give every entry that names one of the clusters these units; returns how many entries those are.

    The order of clusters stays, because sticky users are dealt by it. A cluster without traffic stays only when the
    file says more of it than its weight: a route that still names a cluster is refused by a restarting Envoy once the
    cluster is gone.
    """
    changed = 0
    for _, action in _actions(configuration):
        named = [cluster for cluster, _ in shares(action)]
        if not set(named) & set(units):
            continue
        changed += 1
        weighted = field(action, "weighted_clusters")
        if weighted is None:
            _replace_key(action, "cluster", "weighted_clusters", {"clusters": []})
            weighted = action["weighted_clusters"]
            named = []
        if field(weighted, "total_weight") is not None:
            put(weighted, "total_weight", TOTAL)
        clusters = weighted["clusters"]
        for index in reversed(range(len(clusters))):
            cluster = clusters[index]
            cluster["weight"] = units.get(cluster["name"], 0)
            if not cluster["weight"] and len(cluster) == 2:
                del clusters[index]
        for name, weight in units.items():
            if weight and name not in named:
                clusters.append({"name": name, "weight": weight})
    return changed


def _actions(configuration: RouteConfiguration) -> Iterator[tuple[str, MutableMapping[str, Any]]]:
    for host in field(configuration, "virtual_hosts") or []:
        for number, entry in enumerate(host.get("routes") or [], 1):
            action = entry.get("route")
            if isinstance(action, MutableMapping):
                name = f" ({entry['name']})" if entry.get("name") else ""
                yield f"virtual host {host.get('name', '?')!r}, route {number}{name}", action


def _split(where: str, action: Mapping[str, Any]) -> Split:
    try:
        found = tuple(shares(action))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise RouteRejected(f"{where}: its clusters and weights cannot be read ({error!r}): mend the file") from error
    if len(dict(found)) != len(found):
        raise RouteRejected(f"{where}: names a cluster twice: give each cluster one weight")
    if found and not sum(units for _, units in found):
        raise RouteRejected(f"{where}: all weights are zero, which Envoy refuses: give one cluster the traffic")
    weighted = field(action, "weighted_clusters")
    return Split(where, found, weighted is not None, field(weighted or {}, "runtime_key_prefix") or "")


def shares(action: Mapping[str, Any]) -> list[tuple[str, int]]:
    """The clusters an action names, and the units of each; none when it names them another way."""
    weighted = field(action, "weighted_clusters")
    if weighted is not None:
        return [(str(cluster["name"]), int(cluster.get("weight") or 0)) for cluster in weighted["clusters"]]
    return [(str(action["cluster"]), TOTAL)] if action.get("cluster") else []


def _replace_key(mapping: MutableMapping[str, Any], old: str, new: str, value: Any) -> None:
    items = list(mapping.items())
    for key, _ in items:
        del mapping[key]
    for key, kept in items:
        mapping[new if key == old else key] = value if key == old else kept


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _listed(weights: Weights) -> str:
    return ", ".join(f"{name} {weight:g} %" for name, weight in weights.items())
