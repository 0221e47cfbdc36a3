"""A proxy as a child process of ours, started on free ports."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from abc import abstractmethod
from pathlib import Path

from coalmine.errors import CoalmineError
from coalmine.local.child import Child
from coalmine.local.processes import free_ports

_PAUSE = 0.01
_TRIES = 3
_SYSTEM = "/usr/sbin:/usr/local/sbin"
"""Where distributions put daemons: not in everybody's PATH."""


class DaemonUnavailable(CoalmineError):
    """Raised when a proxy is not installed or does not come up; says where its log is."""


class Daemon(Child):
    """A proxy on free ports, which stay the same over a restart."""

    unavailable = DaemonUnavailable

    def __init__(self, folder: Path, ports: int) -> None:
        """It needs this many ports, which are known once it has started."""
        super().__init__(folder)
        self.ports: list[int] = []
        self._wanted = ports

    @abstractmethod
    async def is_ready(self) -> bool:
        """Whether it takes requests."""

    async def start(self) -> None:
        """Start it and wait until it takes requests.

        Raises:
            DaemonUnavailable: it is not installed, it ended, or it stayed silent.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.ports:
            await super().start()
            return
        for left in reversed(range(_TRIES)):
            self.ports = free_ports(self._wanted)
            try:
                await super().start()
                return
            except DaemonUnavailable:
                # Somebody else may have taken a port between our look and its start.
                if not left:
                    raise

    async def await_ready(self) -> None:
        """Wait until it takes requests.

        Raises:
            DaemonUnavailable: it has ended.
        """
        while not await self.is_ready():
            if self.ended is not None:
                raise DaemonUnavailable(f"{self.name} ended with {self.ended}: see {self.log}")
            await asyncio.sleep(_PAUSE)


def program(name: str) -> str:
    """Where a distribution's daemon is.

    Raises:
        DaemonUnavailable: nowhere.
    """
    found = shutil.which(name) or shutil.which(name, path=_SYSTEM)
    if found is None:
        raise DaemonUnavailable(f"{name} is not installed: run make setup, or install the distribution package {name}")
    return found


async def answers(port: int) -> bool:
    """Whether something on this machine takes connections on a port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
