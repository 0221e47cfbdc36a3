"""The router keeps Coalmine's contract."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import weights_file
from weights_file import WeightsFileRouter

from activities.routers.base import Router
from activities.routers.locked_files import replace
from coalmine.records import Weights
from coalmine.spec.canary import Route
from coalmine.testing.router_contract import Lack, RouterContract, RouterWorld


class FileWorld(RouterWorld):
    """A file with two routes and a note."""

    lacks: dict[Lack, str] = {
        "outage": "a file does not go down",
        "memory": "a file does not go down",
        "refusal": "a file takes what is written into it",
        "parts": "the file is replaced whole",
        "endpoints": "the file says nothing of endpoints",
    }

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._path, self._patch = folder / "weights.json", patch
        self._path.write_text(json.dumps({"shop": {"stable": 100, "canary": 0}, "store": {"stable": 100, "canary": 0}}))
        self._workers = [WeightsFileRouter(), WeightsFileRouter()]
        self.route = self._route("shop")

    def _route(self, name: str) -> Route:
        fences = str(self._path.parent / "fences")
        keys = {"router": "weights-file", "name": name, "file": str(self._path), "fences": fences}
        return Route.model_validate(keys)

    @property
    def workers(self) -> Sequence[Router]:
        return self._workers

    @property
    def proxies(self) -> Sequence[str]:
        return [str(self._path)]

    @property
    def second(self) -> Route:
        return self._route("store")

    async def meddle(self, weights: Weights) -> None:
        self._path.write_text(json.dumps({**json.loads(self._path.read_text()), "shop": weights}))

    async def foreign(self) -> object:
        return json.loads(self._path.read_text())["store"]

    def lose_next_answer(self) -> None:
        """Let the disk report an error once, when the file is in its place already."""

        def once(path: Path, text: str) -> None:
            self._patch.undo()
            replace(path, text)
            raise OSError(errno.EIO, "Input/output error")

        self._patch.setattr(weights_file, "replace", once)


class TestWeightsFile(RouterContract):
    @pytest.fixture
    def world(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileWorld:
        return FileWorld(tmp_path, monkeypatch)
