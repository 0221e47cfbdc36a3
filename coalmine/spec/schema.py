"""The JSON Schema (draft 2020-12) of a spec, for editors and for submissions by other programs."""

from __future__ import annotations

from typing import Any

from coalmine.spec.canary import CanarySpec
from coalmine.spec.routes import ROUTE_OPTIONS
from coalmine.spec.templates import TEMPLATES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema of a spec as people write it. What two keys say together is for ``parse_spec`` to judge."""
    schema = CanarySpec.model_json_schema(by_alias=True, mode="validation")
    definitions: dict[str, Any] = schema["$defs"]
    for definition in definitions.values():
        _tidy(definition)
    _tidy(schema)
    _say_kinds(definitions["Metric"])
    _say_route(definitions["Route"])
    definitions["Notifier"]["allOf"] = [
        {"if": _kind_is("webhook"), "then": {"required": ["url"]}, "else": {"properties": {"url": {"type": "null"}}}}
    ]
    definitions["Gate"]["required"] = ["approval"]
    schema.pop("description", None)
    return {
        "$schema": DIALECT,
        "title": "Coalmine canary spec",
        "description": "One release of one service in one environment: docs/spec.md.",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _tidy(definition: dict[str, Any]) -> None:
    """Leave out what only Python knows: docstrings in its own markup, titles made of key names."""
    if "description" in definition:
        definition["description"] = definition["description"].split("\n")[0].replace("``", "`")
    for key, value in definition.get("properties", {}).items():
        value["title"] = key


def _kind_is(kind: str) -> dict[str, Any]:
    return {"properties": {"kind": {"const": kind}}, "required": ["kind"]}


def _say_kinds(metric: dict[str, Any]) -> None:
    """Limits belong to a kind, and a metric reads something."""
    metric["properties"]["source"].pop("default", None)
    metric["properties"]["template"]["anyOf"] = [{"enum": sorted(TEMPLATES)}, {"type": "null"}]
    for key in ("events", "total", "buckets"):
        for form in metric["properties"][key]["anyOf"]:
            form.update({"minItems": 1} if form["type"] == "array" else {})
    absent = {"type": "null"}
    template = {"required": ["template"], "properties": {"template": {"type": "string"}}}
    metric["allOf"] = [
        {
            "if": _kind_is("ratio"),
            "then": {
                "properties": {"buckets": absent, "objective": absent},
                "anyOf": [template, {"required": ["events", "total"]}],
            },
        },
        {
            "if": _kind_is("latency"),
            "then": {
                "properties": {"events": absent, "total": absent, "max": absent},
                "anyOf": [template, {"required": ["buckets"]}],
            },
        },
    ]


def _say_route(route: dict[str, Any]) -> None:
    """The keys of a route depend on its router; those of routers from elsewhere are not known here."""
    route["allOf"] = []
    for router, options in ROUTE_OPTIONS.items():
        drawn = options.model_json_schema(by_alias=True)
        _tidy(drawn)
        named = {"properties": {"router": {"const": router}}, "required": ["router"]}
        keys = {**route["properties"], **drawn["properties"]}
        then = {"properties": keys, "required": drawn.get("required", []), "additionalProperties": False}
        route["allOf"].append({"if": named, "then": then})
