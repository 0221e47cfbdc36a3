"""A proxy as a child process of ours, started on free ports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from coalmine.errors import CoalmineError
from coalmine.local.child import Child
from coalmine.local.processes import free_ports

_PAUSE = 0.01
_TRIES = 3
_SYSTEM = "/usr/sbin:/usr/local/sbin"
"""Where distributions put daemons: not in everybody's PATH."""
_SOCKETS = Path("/proc/net/tcp")
_LISTENING = "0A"


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

    @property
    def bound(self) -> Sequence[int]:
        """Those of its ports that it listens on."""
        return self.ports

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
        while not (self.pid is None or listens(self.pid, self.bound)) or not await self.is_ready():
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


def listens(pid: int, ports: Sequence[int]) -> bool:
    """Whether it is this process that listens on the ports: another may have taken one, and answers in its place.

    Where the system does not tell (no ``/proc``), it is believed.
    """
    try:
        lines = [line.split() for line in _SOCKETS.read_text().splitlines()[1:]]
    except OSError:
        return True
    held = {int(fields[1].rpartition(":")[2], 16): fields[9] for fields in lines if fields[3] == _LISTENING}
    ours: set[str] = set()
    with contextlib.suppress(OSError):  # It has ended.
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # Closed meanwhile.
                ours.add(os.readlink(file))
    return all(f"socket:[{held.get(port)}]" in ours for port in ports)


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
