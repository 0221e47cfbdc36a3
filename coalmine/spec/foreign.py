"""Adapters that other distributions bring: a spec may name their kinds, and the keys beside them are their own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from coalmine.spec.canary import CanarySpec
from coalmine.spec.channels import Notifier
from coalmine.spec.faults import Path, listed
from coalmine.spec.notifier_rules import KEYS_OF_CHANNEL
from coalmine.spec.shape import keys_of
from coalmine.spec.source_rules import KEYS_OF_SOURCE
from coalmine.spec.sources import Source


@dataclass(frozen=True)
class Foreign:
    """The kinds that are there besides this package's own. What they are is looked up outside the spec."""

    routers: Collection[str] = ()
    sources: Collection[str] = ()
    notifiers: Collection[str] = ()


def trusted(spec: CanarySpec) -> Foreign:
    """Every kind a spec names: for who leaves it to others to know the adapters."""
    sources = {source.kind for source in spec.sources.values()}
    return Foreign((spec.route.router,), sources, {channel.kind for channel in spec.notify})


def kind_errors(data: Mapping[str, Any], foreign: Foreign) -> Iterator[ErrorDetails]:
    """What pydantic would say if it knew which kinds there are: unknown ones, and keys a kind of ours has not."""
    for path, entry in _entries(data):
        model: type[BaseModel] = Source if path[0] == "sources" else Notifier
        own: Collection[str] = KEYS_OF_SOURCE if model is Source else KEYS_OF_CHANNEL
        kind = entry.get("kind", model.model_fields["kind"].default)
        if not isinstance(kind, str) or not kind:
            continue
        if kind in own:
            unknown = [key for key in entry if isinstance(key, str) and key not in keys_of(model)]
            yield from (_error("extra_forbidden", (*path, key), entry[key]) for key in unknown)
            continue
        others = foreign.sources if model is Source else foreign.notifiers
        if kind not in others:
            known = listed(f"'{name}'" for name in (*own, *sorted(others)))
            yield _error("literal_error", (*path, "kind"), kind) | {"ctx": {"expected": known}}


def _entries(data: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    sources, channels = data.get("sources"), data.get("notify")
    for name, entry in sources.items() if isinstance(sources, Mapping) else ():
        if isinstance(entry, Mapping):
            yield ("sources", name), entry
    for place, entry in enumerate(channels if isinstance(channels, list) else ()):
        if isinstance(entry, Mapping):
            yield ("notify", place), entry


def _error(kind: str, path: Path, value: object) -> ErrorDetails:
    return {"type": kind, "loc": path, "msg": "", "input": value}
