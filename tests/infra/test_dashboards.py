"""The dashboards' JSON: as the generator writes it, as Grafana's types have it, without overlaps, in sound PromQL.

Nothing is rendered: there is no Grafana here.
"""

from __future__ import annotations

import json
import types
import typing
from enum import Enum
from itertools import combinations
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from coalmine.local.prometheus import PrometheusServer
from infra.grafana.__main__ import generated
from tests.infra.board_queries import BOARDS, expressions, panels, value_queries

every_board = pytest.mark.parametrize("name", BOARDS)


def test_the_files_are_what_the_generator_writes() -> None:
    written = {name: json.dumps(board, indent=2, sort_keys=True) + "\n" for name, board in BOARDS.items()}
    assert written == generated(), "run: python -m infra.grafana"


def _against(value: Any, kind: Any, where: str, module: Any) -> list[str]:
    """What of a decoded value is not of its declared type."""
    kind = typing._eval_type(kind, vars(module), {}) if isinstance(kind, str) else kind  # type: ignore[attr-defined]
    if isinstance(kind, typing.ForwardRef):
        kind = vars(module)[kind.__forward_arg__]
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind in (Any, object) or (value is None and type(None) in parts):
        return []
    if origin in (typing.Union, types.UnionType):
        tried = [_against(value, part, where, module) for part in parts if part is not type(None)]
        return [] if [] in tried else tried[0]
    if origin is typing.Literal:
        return [] if value in parts else [f"{where}: {value!r} is none of {parts}"]
    if origin is list:
        if not isinstance(value, list):
            return [f"{where}: {value!r} is no list"]
        return [bad for place, one in enumerate(value) for bad in _against(one, parts[0], f"{where}[{place}]", module)]
    if origin is dict:
        return [] if isinstance(value, dict) else [f"{where}: {value!r} is no object"]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [] if value in [member.value for member in kind] else [f"{where}: {value!r} is no {kind.__name__}"]
    if kind is float:
        return [] if isinstance(value, int | float) and not isinstance(value, bool) else [f"{where}: {value!r}"]
    if kind in (int, str, bool):
        return [] if type(value) is kind else [f"{where}: {value!r} is no {kind.__name__}"]
    if not hasattr(kind, "from_json"):
        return []
    if not isinstance(value, kind):
        return [f"{where}: {value!r} is no {kind.__name__}"]
    module = __import__(kind.__module__, fromlist=["_"])
    hints = typing.get_type_hints(kind)
    return [bad for name, one in vars(value).items() for bad in _against(one, hints[name], f"{where}.{name}", module)]


@every_board
def test_it_is_a_dashboard_by_the_types_of_the_sdk(name: str) -> None:
    """The SDK's classes are made from Grafana's own schema; ``test_grafana_types`` asks Grafana's types themselves.

    What they do not know is lost on the way through them, so the way through them must lose nothing.
    """
    register_default_plugins()
    decoded = Dashboard.from_json(BOARDS[name])
    assert json.loads(json.dumps(decoded, cls=JSONEncoder)) == BOARDS[name]
    import grafana_foundation_sdk.models.dashboard as module

    assert _against(decoded, Dashboard, name, module) == []


def test_that_check_finds_what_is_wrong() -> None:
    import grafana_foundation_sdk.models.dashboard as module

    register_default_plugins()
    board = json.loads(json.dumps(BOARDS["coalmine-worker.json"]))
    board["panels"][1]["gridPos"]["w"] = "wide"
    board["style"] = "pink"
    found = _against(Dashboard.from_json(board), Dashboard, "board", module)
    assert any("'wide'" in bad for bad in found)
    assert any("'pink'" in bad for bad in found)
    board["panels"][1]["titel"] = "misspelt"
    assert json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder)) != board


@every_board
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    board = BOARDS[name]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    places = [(panel["title"], panel["gridPos"]) for panel in board["panels"]]
    assert all(at["x"] >= 0 and at["x"] + at["w"] <= 24 for _, at in places)
    for (one, a), (two, b) in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or below, (one, two)


@every_board
def test_every_panel_asks_the_prometheus_that_was_picked(name: str) -> None:
    board = BOARDS[name]
    kinds = {variable["name"]: variable["type"] for variable in board["templating"]["list"]}
    assert kinds["datasource"] == "datasource"
    picked = {"type": "prometheus", "uid": "${datasource}"}
    asked = [*board["panels"], *board["annotations"].get("list", [])]
    asked += [variable for variable in board["templating"]["list"] if variable["type"] == "query"]
    assert [one.get("title", one.get("name")) for one in asked if one["datasource"] != picked] == []
    for panel in panels(board):
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0, panel["title"]


async def test_every_expression_is_answered_by_a_real_prometheus(tmp_path: Path) -> None:
    async with PrometheusServer(tmp_path) as prometheus, aiohttp.ClientSession() as session:
        for board in BOARDS.values():
            asked = [("query", {"query": expr}) for expr in expressions(board, {}).values()]
            asked += [("series", {"match[]": selector}) for selector, _ in value_queries(board, {}).values()]
            for path, parameters in asked:
                async with session.get(f"{prometheus.url}/api/v1/{path}", params=parameters) as answer:
                    told = await answer.json()
                    assert told["status"] == "success", (parameters, told)
