"""Measured cells on disk, so that a run can be stopped and taken up again cell by cell.

A cell is only taken from the store when the seed, its runs and everything its figures come from are the same.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.judge.cells import Cell
from coalmine.spec import parse_spec

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_DRAWING = {"__main__", "cells", "store", "limits", "results", "targets", "tables", "plots", "page"} | {
    "beside_sketch",
    "missed_targets",
    "sketch_results",
}
"""Modules that show figures, and do not make them."""


class Store:
    """The cells of one seed, in a folder."""

    def __init__(self, seed: int, folder: Path | None = None) -> None:
        self._seed = seed
        self._folder = (folder or _ROOT / ".coalmine" / "benchmarks" / "judge") / str(seed)

    def read(self, cell: Cell) -> dict[str, Any] | None:
        """What was measured of the cell; None when nothing was, or by other code."""
        try:
            found: dict[str, Any] = json.loads(self._path(cell).read_text())
        except FileNotFoundError:
            return None
        return found["figures"] if found["made_of"] == self._made_of(cell) else None

    def write(self, cell: Cell, figures: dict[str, Any]) -> None:
        """Keep a cell; whole or not at all."""
        path = self._path(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps({"made_of": self._made_of(cell), "figures": figures}))
        beside.replace(path)

    def measured(self, cells: Iterable[Cell]) -> list[dict[str, Any]]:
        """The figures of those cells that are there, in order."""
        return [figures for cell in cells if (figures := self.read(cell)) is not None]

    def _made_of(self, cell: Cell) -> list[Any]:
        drawn = [int(word) for seed in cell.seeds(self._seed) for word in seed.generate_state(2)]
        return [source(), cell.runs, cell.margin, drawn]

    def _path(self, cell: Cell) -> Path:
        name = "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in cell.key)
        return self._folder / f"{name}.json"


@cache
def source() -> str:
    """Fingerprint of the code and the policy that figures come from; comments, docstrings and layout do not count."""
    judged = _imported("coalmine.analysis.comparison", "coalmine.analysis.history")
    harness = sorted(path for path in _HERE.rglob("*.py") if path.stem not in _DRAWING)
    digest = hashlib.sha256()
    for path in (*judged, *harness):
        digest.update(f"{path.relative_to(_ROOT).as_posix()}\0{_bare(path.read_text())}".encode())
    spec = parse_spec((_HERE / "spec.yaml").read_text())
    digest.update(
        json.dumps([spec.policy.model_dump(mode="json"), *(m.model_dump(mode="json") for m in spec.metrics)]).encode()
    )
    return digest.hexdigest()[:16]


def _imported(*names: str) -> list[Path]:
    """Files of these modules, and of all of ``coalmine.analysis`` that they import."""
    found: dict[str, Path] = {}
    open_ = list(names)
    while open_:
        name = open_.pop()
        path = _ROOT / f"{name.replace('.', '/')}.py"
        if name not in found and name.startswith("coalmine.analysis.") and path.exists():
            found[name] = path
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module:
                    open_ += [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
    return sorted(found.values())


def _bare(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [part for part in node.body if not _is_text(part)]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
