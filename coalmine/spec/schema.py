"""The JSON Schema (draft 2020-12) of a spec, for editors and for submissions by other programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coalmine.spec.canary import CanarySpec
from coalmine.spec.channels import Notifier
from coalmine.spec.metric_rules import KEYS_OF_KIND
from coalmine.spec.notifier_rules import KEYS_OF_CHANNEL, OWN_KEYS, REPOSITORY
from coalmine.spec.routes import ROUTE_OPTIONS
from coalmine.spec.secret_names import REFERENCE
from coalmine.spec.shape import keys_of
from coalmine.spec.source_rules import KEYS_OF_SOURCE
from coalmine.spec.sources import Source
from coalmine.spec.templates import PARTS, TEMPLATE_SOURCES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema of a spec as people write it. What two keys say together is for ``parse_spec`` to judge."""
    schema = CanarySpec.model_json_schema(by_alias=True, mode="validation")
    definitions: dict[str, Any] = schema["$defs"]
    for definition in definitions.values():
        _tidy(definition)
    _tidy(schema)
    _say_kinds(definitions["Metric"])
    definitions.update(_say_route(definitions["Route"]))
    for name, kinds in (("Source", KEYS_OF_SOURCE), ("Notifier", KEYS_OF_CHANNEL)):
        # Editors offer ours; those of other distributions are not known here.
        definitions[name]["properties"]["kind"]["anyOf"] = [{"enum": [*kinds]}, {"type": "string"}]
    definitions["Notifier"]["allOf"] = [
        {"if": _kind_is(kind), "then": _of_channel(kind, *keys)} for kind, keys in KEYS_OF_CHANNEL.items()
    ]
    definitions["Source"]["allOf"] = [_of_store(kind, must) for kind, (must, _) in KEYS_OF_SOURCE.items()]
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


def _of_store(kind: str, must: Sequence[str]) -> dict[str, Any]:
    """What a source of this kind must say; one without a kind is a Prometheus."""
    named = _kind_is(kind) if kind != Source().kind else {"properties": {"kind": {"const": kind}}}
    return {"if": named, "then": {"required": [*must], "propertyNames": {"enum": [*keys_of(Source)]}}}


def _of_channel(kind: str, must: Sequence[str], may: Sequence[str]) -> dict[str, Any]:
    foreign = sorted(set(OWN_KEYS) - {*must, *may})
    told: dict[str, Any] = {key: {"type": "string"} for key in must}
    if "token" in told:
        told["token"]["pattern"] = f"^({REFERENCE.pattern})+$"
    if kind in REPOSITORY:
        told["repository"]["pattern"] = f"^({REPOSITORY[kind].pattern})$"
    names = {"enum": [*keys_of(Notifier)]}
    return {
        "required": [*must],
        "propertyNames": names,
        "properties": told | {key: {"type": "null"} for key in foreign},
    }


def _say_kinds(metric: dict[str, Any]) -> None:
    """Limits belong to a kind, and a metric reads something."""
    metric["properties"]["source"].pop("default", None)
    metric["properties"]["template"]["anyOf"] = [{"enum": sorted(TEMPLATE_SOURCES)}, {"type": "null"}]
    for key in ("events", "total", "buckets", "values"):
        for form in metric["properties"][key]["anyOf"]:
            form.update({"minItems": 1} if form["type"] == "array" else {})
    metric["allOf"] = [{"if": _kind_is(kind), "then": _of_kind(kind, metric["properties"])} for kind in KEYS_OF_KIND]


def _of_kind(kind: str, drawn: dict[str, Any]) -> dict[str, Any]:
    """What a metric of this kind may and must say; a key of another kind may stand there with its default."""
    foreign = {key for keys in KEYS_OF_KIND.values() for key in keys} - set(KEYS_OF_KIND[kind])
    then: dict[str, Any] = {"properties": {key: {"const": drawn[key].get("default")} for key in sorted(foreign)}}
    own = {"required": [*PARTS[kind]]}
    if "template" in KEYS_OF_KIND[kind]:
        template = {"required": ["template"], "properties": {"template": {"type": "string"}}}
        return {**then, "anyOf": [template, own], "required": ["slo"] if kind == "slo" else []}
    return then | ({"required": ["query", "limits"]} if kind == "threshold" else own)


def _say_route(route: dict[str, Any]) -> dict[str, Any]:
    """The keys of a route depend on its router; those of routers from elsewhere are not known here.

    Returns the definitions those keys refer to.
    """
    route["allOf"] = []
    further: dict[str, Any] = {}
    for router, options in ROUTE_OPTIONS.items():
        drawn = options.model_json_schema(by_alias=True)
        _tidy(drawn)
        for name, definition in drawn.get("$defs", {}).items():
            _tidy(definition)
            further[name] = definition
        named = {"properties": {"router": {"const": router}}, "required": ["router"]}
        keys = {**route["properties"], **drawn["properties"]}
        then = {"properties": keys, "required": drawn.get("required", []), "additionalProperties": False}
        then |= {key: drawn[key] for key in ("oneOf",) if key in drawn}
        route["allOf"].append({"if": named, "then": then})
    return further
