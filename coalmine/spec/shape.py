"""The shape of the spec as its models draw it: which keys stand at which place."""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from coalmine.spec.canary import CanarySpec, Route
from coalmine.spec.faults import Path
from coalmine.spec.routes import ROUTE_OPTIONS


@cache
def keys_of(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys of one model as they are written (``for``, not ``for_``)."""
    return tuple(info.alias or name for name, info in model.model_fields.items())


def model_at(path: Path, top: type[BaseModel] = CanarySpec) -> type[BaseModel] | None:
    """The model of the mapping at ``path`` below ``top``; None where there is none (a list, a text, free names)."""
    kind: Any = top
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found = next((info for name, info in kind.model_fields.items() if part in (name, info.alias)), None)
            if found is None:
                return None
            kind = _unwrapped(found.annotation)
        elif get_origin(kind) is list and isinstance(part, int):
            kind = _unwrapped(get_args(kind)[0])
        elif get_origin(kind) is dict:
            kind = _unwrapped(get_args(kind)[1])
        else:
            return None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def known_keys(path: Path, router: object) -> tuple[str, ...]:
    """The keys that may stand in the mapping at ``path``; those of a route depend on the router."""
    own = ROUTE_OPTIONS.get(router) if isinstance(router, str) and path[:1] == ("route",) else None
    model = model_at(path[1:], own) if own is not None else model_at(path)
    if model is None:
        return ()
    return (*keys_of(Route), *keys_of(model)) if model is own else keys_of(model)


@cache
def routers_with(key: str) -> tuple[str, ...]:
    """The routers that have a key of this name in ``route``."""
    return tuple(router for router, options in ROUTE_OPTIONS.items() if key in keys_of(options))


@cache
def homes_of(key: str) -> tuple[str, ...]:
    """The sections of the spec in which a key of this name stands, for the mend of a misplaced one."""
    homes = []
    for section, info in CanarySpec.model_fields.items():
        kind = _unwrapped(info.annotation)
        if get_origin(kind) in (list, dict):
            kind = _unwrapped(get_args(kind)[-1])
        if isinstance(kind, type) and issubclass(kind, BaseModel) and key in keys_of(kind):
            homes.append(section)
    if routers_with(key):
        homes.append("route")
    return tuple(homes)


def _unwrapped(annotation: Any) -> Any:
    """The type inside ``Annotated`` and ``X | None``."""
    if get_origin(annotation) is Annotated:
        return _unwrapped(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        return _unwrapped(inner[0]) if len(inner) == 1 else annotation
    return annotation
