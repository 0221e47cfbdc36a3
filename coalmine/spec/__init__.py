"""What a user writes: models, files, rules, JSON Schema and plan. Pure: nothing here opens a file or a socket.

Names are loaded when first used, so that ``coalmine.spec.canary`` alone stays cheap (and free of the YAML parser).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coalmine.spec.canary import CanarySpec
    from coalmine.spec.check import check_spec, recheck
    from coalmine.spec.document import parse_spec
    from coalmine.spec.schema import json_schema

__all__ = ["CanarySpec", "check_spec", "json_schema", "parse_spec", "recheck"]

_HOMES = {
    "CanarySpec": "canary",
    "check_spec": "check",
    "json_schema": "schema",
    "parse_spec": "document",
    "recheck": "check",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
