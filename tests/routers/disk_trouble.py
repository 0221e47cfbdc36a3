"""What a disk can do to route files while they are written: for the worlds of routers that stand on files."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from activities.routers import route_files
from activities.routers.locked_files import replace
from coalmine.testing.router_contract import RouterWorld


class FileWorld(RouterWorld):
    """A world whose route lies in ``files``."""

    files: list[Path]
    patch: pytest.MonkeyPatch

    def __post_init__(self) -> None:
        if len(self.files) == 1:
            self.lacks = {"parts": "all proxies read one file, which is replaced whole"}

    def lose_next_answer(self) -> None:
        """Let the disk report an error once the file is in its place, as it may for its folder."""
        self._replace_badly(set(), then_fail=True)

    def cut_next_short(self) -> None:
        """Let every file but the first be out of reach once."""
        self._replace_badly({self.files[0]}, then_fail=False)

    def _replace_badly(self, sound: set[Path], *, then_fail: bool) -> None:
        failed: set[Path] = set()

        def badly(path: Path, text: str) -> None:
            fails = path not in sound | failed
            failed.add(path)
            if not fails or then_fail:
                replace(path, text)
            if fails:
                raise OSError(errno.EIO, "Input/output error")

        self.patch.setattr(route_files, "replace", badly)
