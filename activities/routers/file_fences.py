"""Fences in a folder of this host: a file for each route, compared and replaced under its lock.

For workers of one host, or for one worker; those of several hosts need a table that all of them reach.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from activities.routers.fences import FenceRow
from activities.routers.locked_files import locked, replace
from coalmine.errors import RouteRejected, RouterUnreachable


class FileFenceRows:
    """Rows as files of ``folder``, which is made when it is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def get(self, key: str) -> FenceRow:
        """The row of a route."""
        return await asyncio.to_thread(self._get, key)

    async def put(self, key: str, row: FenceRow) -> bool:
        """Write the row if nobody has written since it was read."""
        return await asyncio.to_thread(self._put, key, row)

    def _get(self, key: str) -> FenceRow:
        path = self._path(key)
        try:
            return FenceRow.parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return FenceRow()
        except OSError as error:
            raise RouterUnreachable(f"{path}: the fence of {key} could not be read ({error.strerror})") from error
        except ValueError as error:
            mend = "remove it when nothing is released, and the next write begins anew"
            raise RouteRejected(f"{path}: holds no fence of {key} ({error}): {mend}") from error

    def _put(self, key: str, row: FenceRow) -> bool:
        path = self._path(key)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with locked([path]):
                if self._get(key).revision != row.revision - 1:
                    return False
                replace(path, row.text(), create=True)
        except OSError as error:
            raise RouterUnreachable(f"{path}: the fence of {key} could not be written ({error.strerror})") from error
        return True

    def _path(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
