"""What files and names of a route have to be for its router to write it; known from the spec alone.

The validation of a spec and the routers say it in these words: where a name is wrong no write could succeed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import PurePath

ENVOY_FORMATS = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}
_VARIABLE = re.compile(r"(?![1-9])[A-Za-z0-9_]+")
"""As nginx reads one behind a ``$``; one that begins with a digit is what a regular expression has captured."""
_HAPROXY_BACKEND = re.compile(r"[A-Za-z0-9_.:-]+")
_KUBERNETES_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-.a-z0-9]*[a-z0-9])?")
_UPSTREAM = re.compile(r"[A-Za-z0-9_.-]+")


def envoy_file_problem(path: str, name: str = "") -> str:
    """Why Envoy could not read it; empty when it can."""
    if PurePath(path).suffix in ENVOY_FORMATS:
        return ""
    return f"{path}: the name must end in {', '.join(ENVOY_FORMATS)}, because Envoy reads it by its name"


def traefik_file_problem(path: str, name: str = "") -> str:
    """Why we could not write it; empty when we can."""
    if PurePath(path).suffix in (".yaml", ".yml"):
        return ""
    return f"{path}: the name must end in .yaml or .yml: TOML is not written"


def haproxy_file_problem(path: str, name: str) -> str:
    """Why it is not the map of route ``name``, or cannot be named to the socket; empty when it is and can."""
    if re.search(r"[\s;\\]", path):
        return f"{path}: HAProxy's socket takes no path with a blank, ; or \\ in it: name the map without"
    if PurePath(path).stem == name:
        return ""
    return f"{path}: is not the map of route {name!r}: route.name is the file's name without .map"


def haproxy_backend_problem(backend: str) -> str:
    """Why no backend of HAProxy can be called so; empty when one can."""
    if _HAPROXY_BACKEND.fullmatch(backend):
        return ""
    return f"{backend!r} cannot be the name of a backend of HAProxy: letters, digits, _ . : -"


def kubernetes_backend_problem(backend: str) -> str:
    """Why no Service (after a kind and /, where one is said) or Deployment can be called so; empty when one can."""
    if _KUBERNETES_NAME.fullmatch(backend.rpartition("/")[2]):
        return ""
    return f"{backend!r} cannot be a name in Kubernetes: small letters, digits, - and ."


def nginx_backend_problem(backend: str) -> str:
    """Why no upstream of nginx can be called so; empty when one can."""
    if _UPSTREAM.fullmatch(backend):
        return ""
    return f"{backend!r} cannot be the name of an upstream: letters, digits, _ . and -"


def nginx_name_problem(name: str) -> str:
    """Why a route of nginx cannot be called so; empty when it can."""
    if _VARIABLE.fullmatch(name):
        return ""
    return (
        f"{name!r} cannot be the name of nginx's variable: letters, digits and _, and no digit from 1 to 9 first; call "
        "the variable of split_clients so too"
    )


def testers_variant_problem(variant: str, arms: Collection[str]) -> str:
    """Why testers of a flag cannot have this variant: one of an arm's would count them in every comparison."""
    if variant not in arms:
        return ""
    return (
        f"{variant!r} is an arm, whose users are compared: define a variant of their own with the same value, and name "
        "that"
    )


FILE_PROBLEMS: dict[str, Callable[[str, str], str]] = {
    "envoy": envoy_file_problem,
    "haproxy": haproxy_file_problem,
    "traefik": traefik_file_problem,
}
"""By router, what is wrong with the path of a file for the route of a name."""
BACKEND_PROBLEMS: dict[str, Callable[[str], str]] = {
    "haproxy": haproxy_backend_problem,
    "kubernetes-gateway": kubernetes_backend_problem,
    "kubernetes-replicas": kubernetes_backend_problem,
    "nginx": nginx_backend_problem,
}
"""By router, what is wrong with what an arm's backend is called."""
