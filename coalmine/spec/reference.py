"""The tables of docs/spec.md, made from the models: ``python -m coalmine.spec.reference < docs/spec.md`` fills them in.

A table stands between ``<!-- keys: Step -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import timedelta
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from coalmine.spec import canary, channels, ledger, metrics, route_users, sources, steps
from coalmine.spec.base import SpecModel
from coalmine.spec.durations import format_duration
from coalmine.spec.routes import ROUTE_OPTIONS

_BLOCK = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_KINDS = {
    "str": "text",
    "float": "number",
    "int": "whole number",
    "bool": "true or false",
    "timedelta": "duration",
    "Any": "any",
}


def models() -> dict[str, type[BaseModel]]:
    """Every model a spec is made of, by name."""
    written = (canary, channels, ledger, metrics, sources, steps, route_users)
    modules = [*written, *(sys.modules[options.__module__] for options in ROUTE_OPTIONS.values())]
    drawn = [value for module in modules for value in vars(module).values()]
    found = [value for value in drawn if isinstance(value, type) and issubclass(value, SpecModel)]
    # What others only build on is no part of a spec by itself.
    return {model.__name__: model for model in found if not any(model in other.__bases__ for other in found)}


def fill(text: str) -> str:
    """The page with every table made anew.

    Raises:
        KeyError: a table of a model that is not there.
    """
    known = models()
    return _BLOCK.sub(lambda block: f"{block[1]}{table(known[block[2]])}{block[3]}", text)


def table(model: type[BaseModel]) -> str:
    """One line per key: what it is, its default, what it means."""
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    made = model.model_construct()
    for name, info in model.model_fields.items():
        key = info.alias or name
        default = "**required**" if info.is_required() else _default(_written(getattr(made, name)), info)
        lines.append(
            f"| `{key}` | {_kind(info.annotation)} | {default} | {(info.description or '').replace('|', '/')} |"
        )
    return "\n".join(lines) + "\n"


def _written(value: Any) -> Any:
    """As JSON has it; by itself, for a model may leave out what nobody said."""
    if isinstance(value, timedelta):
        return format_duration(value)
    return to_jsonable_python(value, by_alias=True, exclude_none=True)


def _default(value: Any, info: FieldInfo) -> str:
    if isinstance(info.default, BaseModel):
        return "see below"
    if value is None or value in ({}, []):
        return "none"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _kind(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(_kind(part) for part in inner if part is not type(None))
    if origin is list:
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        return f"name: {_kind(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return _KINDS[annotation.__name__]


if __name__ == "__main__":
    sys.stdout.write(fill(sys.stdin.read()))
