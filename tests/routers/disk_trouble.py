"""What a disk can do to route files while they are written: for the worlds of routers that stand on files."""

from __future__ import annotations

import errno
from collections.abc import Collection
from pathlib import Path
from types import ModuleType

import pytest

from activities.routers import route_files
from activities.routers.locked_files import replace
from tests.routers.proxy_world import ProxyWorld


class FileWorld(ProxyWorld):
    """A world whose route lies in ``files``."""

    files: list[Path]

    def __post_init__(self) -> None:
        if len(self.files) == 1:
            self.lacks = {"parts": "all proxies read one file, which is replaced whole"}

    def lose_next_answer(self) -> None:
        """Let the disk report an error once the file is in its place, as it may for its folder."""
        replace_badly(self.patch, route_files, (), then_fail=True)

    def cut_next_short(self) -> None:
        """Let every file but the first be out of reach once."""
        replace_badly(self.patch, route_files, self.files[:1], then_fail=False)


def replace_badly(patch: pytest.MonkeyPatch, module: ModuleType, sound: Collection[Path], *, then_fail: bool) -> None:
    """Let each file but the ``sound`` ones fail once to be replaced by ``module``, or be replaced and ``then_fail``."""
    failed: set[Path] = set()

    def badly(path: Path, text: str) -> None:
        fails = path not in sound and path not in failed
        failed.add(path)
        if not fails or then_fail:
            replace(path, text)
        if fails:
            raise OSError(errno.EIO, "Input/output error")

    patch.setattr(module, "replace", badly)
