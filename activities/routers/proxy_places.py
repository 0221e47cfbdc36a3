"""Where a route lies: what every router whose proxies are read back knows of it before it asks anybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from activities.routers.preflight import Besides
from activities.routers.splits import DocumentType
from coalmine.spec.base import SpecModel

Options = TypeVar("Options", bound=SpecModel)


@dataclass(frozen=True)
class Places(Generic[Options]):
    """Where a route is: its name, where it is written, what its proxies are called, and its other keys."""

    name: str
    files: Sequence[str]
    proxies: Sequence[str]
    options: Options
    document: DocumentType | None = None
    """Instead of the router's usual one, where the route asks for more than weights."""
    besides: Besides = field(default_factory=Besides)
