"""The PromQL of a dashboard's JSON, with what Grafana puts in place of its variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "infra" / "grafana"
BOARDS: Mapping[str, dict[str, Any]] = {
    path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))
}
OF_GRAFANA = {"__rate_interval": "1m", "__range": "15m", "__interval": "15s"}
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Panels that show something: rows are left out."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def expressions(board: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """Every expression by where it stands, variables filled in.

    Raises:
        KeyError: it uses a variable the dashboard does not have.
    """
    known = {variable["name"] for variable in board["templating"]["list"]}
    given = {**OF_GRAFANA, **{name: values.get(name, "nothing") for name in known}}
    found = {
        f"{panel['title']} / {target['legendFormat']}": target["expr"]
        for panel in panels(board)
        for target in panel["targets"]
    }
    found |= {f"annotation {mark['name']}": mark["expr"] for mark in board["annotations"].get("list", [])}
    return {where: _VARIABLE.sub(lambda match: given[match[1]], expr) for where, expr in found.items()}


def value_queries(board: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What the choices of variables are read from: a selector and a label, by the variable's name."""
    found = {}
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            match = _LABEL_VALUES.fullmatch(variable["query"])
            assert match is not None, variable["query"]
            found[variable["name"]] = (_VARIABLE.sub(lambda m: values.get(m[1], "nothing"), match[1]), match[2])
    return found
