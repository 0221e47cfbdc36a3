"""Fences kept in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from activities.routers.fences import FenceRow
from activities.routers.file_fences import FileFenceRows
from coalmine.errors import RouteRejected, RouterUnreachable
from coalmine.testing.fence_contract import KEY, FenceContract, Stores


class TestFileFences(FenceContract):
    @pytest.fixture
    def stores(self, tmp_path: Path) -> Stores:
        return [FileFenceRows(tmp_path / "fences"), FileFenceRows(tmp_path / "fences")]


@pytest.mark.parametrize("text", ["", "[]", "{}x", '{"generation": 1, "colour": "red"}'])
async def test_a_file_that_is_no_fence_is_named(tmp_path: Path, text: str) -> None:
    rows = FileFenceRows(tmp_path)
    await rows.put(KEY, FenceRow(1, 1))
    (path,) = [path for path in tmp_path.iterdir() if path.suffix == ".json"]  # noqa: ASYNC240
    path.write_text(text)
    with pytest.raises(RouteRejected, match=path.name):
        await rows.get(KEY)


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "fences").write_text("a file")
    with pytest.raises(RouterUnreachable, match="fences"):
        await FileFenceRows(tmp_path / "fences").put(KEY, FenceRow(1, 1))
