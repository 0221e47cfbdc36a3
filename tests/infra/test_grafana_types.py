"""The dashboards against Grafana's own types (npm ``@grafana/schema``), as TypeScript literals under strict ``tsc``.

A literal may hold no property its type does not know, none of another type, and lacks none that is required: that is
what a JSON schema would say, and no package has one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.infra.board_queries import BOARDS

HERE = Path(__file__).parent / "grafana_types"
INSTALLED = Path(sys.prefix) / "grafana-types" / "node_modules"
NODE = Path(sys.prefix) / "bin" / "node"
COMPILER = INSTALLED / "typescript" / "bin" / "tsc"
OPTIONS = {"noEmit": True, "strict": True, "skipLibCheck": True, "module": "nodenext", "types": []}

pytestmark = pytest.mark.skipif(
    not (NODE.exists() and COMPILER.exists() and (INSTALLED / "@grafana" / "schema").exists()),
    reason=f"Grafana's types are not in {INSTALLED}: scripts/setup installs them where npm reaches a registry",
)


async def _refused(folder: Path, boards: Mapping[str, Any]) -> str:
    """What the compiler says against these boards; empty when it takes them."""
    (folder / "node_modules").symlink_to(INSTALLED)
    (folder / "board.ts").write_text((HERE / "board.ts").read_text(encoding="utf-8"), encoding="utf-8")
    for name, board in boards.items():
        literal = json.dumps(board, indent=1)
        text = f"import type {{ Board }} from './board';\nexport const board: Board = {literal};\n"
        (folder / f"{name}.ts").write_text(text, encoding="utf-8")
    project = {"compilerOptions": OPTIONS, "files": [f"{name}.ts" for name in boards]}
    (folder / "tsconfig.json").write_text(json.dumps(project), encoding="utf-8")
    compiling = await asyncio.create_subprocess_exec(
        NODE, COMPILER, "--project", folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await compiling.communicate()
    assert bool(said) == (compiling.returncode != 0), said
    return said.decode()


async def test_every_board_is_a_dashboard_to_grafana(tmp_path: Path) -> None:
    assert await _refused(tmp_path, {Path(name).stem: board for name, board in BOARDS.items()}) == ""


async def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    def wrong() -> dict[str, Any]:
        copied: dict[str, Any] = json.loads(json.dumps(BOARDS["coalmine-worker.json"]))
        return copied

    boards = {
        name: wrong()
        for name in ("misspelt", "wide", "mode", "cursor", "nameless", "option", "kind", "variable", "absent")
    }
    boards["misspelt"]["panels"][1]["titel"] = "misspelt"
    boards["wide"]["panels"][1]["gridPos"]["w"] = "wide"
    boards["mode"]["panels"][1]["fieldConfig"]["defaults"]["thresholds"]["mode"] = "relative"
    boards["cursor"]["graphTooltip"] = 7
    del boards["nameless"]["templating"]["list"][0]["name"]
    boards["option"]["panels"][1]["options"]["colorMode"] = "pink"
    boards["kind"]["panels"][1]["type"] = "graph"
    boards["variable"]["templating"]["list"][0]["refresh"] = "often"
    del boards["absent"]["schemaVersion"]
    said = await _refused(tmp_path, boards)
    assert [name for name in boards if f"{name}.ts(" not in said] == [], said
