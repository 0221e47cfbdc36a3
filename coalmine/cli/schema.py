"""``coalmine schema``: the JSON Schema of a spec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coalmine.cli._output import Output, columns
from coalmine.cli._parser import Args, Parser


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_output(default="json")
    parser.epilog = "In a spec: # yaml-language-server: $schema=coalmine.schema.json"


def run(args: Args, out: Output) -> int:
    """Print it: JSON for editors, or a table of all keys for people."""
    from coalmine.spec.schema import json_schema

    schema = json_schema()
    rows = [list(row) for row in _keys(schema, schema.get("$defs", {}), "")]
    out.data(schema, columns(["key", "default", "what"], rows))
    return 0


def _keys(node: dict[str, Any], definitions: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    """Every key below a node; a definition never holds itself, so this ends."""
    for name, value in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        default = value.get("default")
        shown = "" if default in (None, {}, []) or isinstance(default, dict) else str(default)
        yield here, shown, str(value.get("description", ""))
        for reference, suffix in _references(value):
            yield from _keys(definitions[reference], definitions, here + suffix)


def _references(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "$ref" in value:
        yield value["$ref"].rsplit("/", 1)[-1], ""
    for option in (*value.get("anyOf", ()), *value.get("allOf", ())):
        yield from _references(option)
    if isinstance(value.get("items"), dict):
        yield from ((name, "[]" + suffix) for name, suffix in _references(value["items"]))
    if isinstance(value.get("additionalProperties"), dict):
        yield from ((name, ".<name>" + suffix) for name, suffix in _references(value["additionalProperties"]))
