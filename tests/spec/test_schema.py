"""The JSON Schema accepts what is right, catches what a schema can, and says what every key is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from ruamel.yaml import YAML

from coalmine.spec import json_schema
from coalmine.spec.later import LATER_VALUES
from coalmine.spec.templates import TEMPLATES

ROOT = Path(__file__).parents[2]
VALIDATOR = Draft202012Validator(json_schema())
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
BEYOND_A_SCHEMA = {
    "005", "009", "013", "018", "019", "025", "026", "030", "032", "033", "036", "042", "046", "047", "048", "055",
    "056", "057", "058", "059", "060", "061", "062", "063", "064", "066", "067", "068", "070", "077", "082", "083",
    "084", "085", "086", "088", "089", "090", "091", "092", "094", "095", "096", "097", "098", "099", "100", "102",
    "103", "104", "107", "108", "109", "110", "111", "112", "113", "115", "116", "117", "121", "122", "123", "128",
    "131", "132",
    "133", "136", "137", "138", "141", "142", "151", "152", "153", "154", "156", "157", "158", "159", "160",
    "161", "162", "163", "164", "165", "166", "167", "168", "169", "170", "172", "173", "174", "181", "190",
    "191", "192", "080", "182", "183", "184", "185", "186", "195", "196", "197", "198", "199", "200", "201",
    "207", "208", "214",
    "231", "234", "235", "236", "237", "238", "239", "243",
    "304", "305", "306", "309", "311",
    "257", "259", "260", "261", "262", "263", "264", "265", "266", "267",
    "314", "315", "316", "317", "318", "319", "320", "321", "322", "323", "324",
    "079", "081", "270", "271", "272", "273", "274", "275", "276", "277",
}  # fmt: skip
"""Wrong specs that are well-formed data (or no YAML at all): only ``parse_spec`` can tell."""
WRONG = [path for path in sorted((ROOT / "tests/spec/wrong").glob("*.yaml")) if path.stem[:3] not in BEYOND_A_SCHEMA]


def load(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(path: Path) -> None:
    VALIDATOR.validate(load(path))


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_wrong_specs_are_not(path: Path) -> None:
    assert not VALIDATOR.is_valid(load(path))


def properties(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        for name, value in schema.get("properties", {}).items():
            yield f"{path}.{name}", value
        for name, value in schema.items():
            yield from properties(value, f"{path}/{name}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from properties(value, f"{path}/{index}")


def test_every_key_says_what_it_is_for() -> None:
    silent = [
        path
        for path, value in properties(json_schema())
        if "/allOf" not in path and not (value.get("description") and value.get("title"))
    ]
    assert silent == []


def values(schema: Any) -> Iterator[Any]:
    if isinstance(schema, dict):
        yield from schema.get("enum", [])
        yield schema.get("const")
        for inner in schema.values():
            yield from values(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from values(inner)


def test_what_is_not_built_is_not_in_it() -> None:
    names = {path.rpartition(".")[2] for path, _ in properties(json_schema())}
    assert names.isdisjoint({"holdback", "waves", "native_histogram"})
    # What is a router of a later release may be a template already.
    later = {value for group in LATER_VALUES.values() for value in group} - TEMPLATES.keys()
    assert later.isdisjoint(values(json_schema()))
